"""Formats that graphs come in, one a file: each knows a path of its kind, and reads it."""
