"""Measures of influence: one a file."""
