"""The paper's experiments: which models they train, and what they show."""
