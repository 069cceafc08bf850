"""What `data.name` can be: a file for each, named after it. Torch is imported where one loads."""
