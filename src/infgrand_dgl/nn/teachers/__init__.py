"""What a teacher can be: one model a file."""
