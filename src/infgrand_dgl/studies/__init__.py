"""The paper's experiments: what they train and what they show, each in a file of catalog/."""
