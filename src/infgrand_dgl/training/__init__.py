"""Training of teacher, student and the plain MLP."""
