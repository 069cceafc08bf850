"""The paper's experiments, one command and one picture each."""
