"""A study a file, which ends by adding it to `registry.studies`."""
