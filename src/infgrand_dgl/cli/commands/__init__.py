"""The commands: each file is one, and its `command` says all about it."""
