"""Models: the teachers, and the student (MLP)."""
