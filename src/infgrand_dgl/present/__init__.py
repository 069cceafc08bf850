"""What a person sees: the terminal, and the look of every picture."""
