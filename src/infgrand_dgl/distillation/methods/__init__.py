"""What a student can minimise: one method a file."""
