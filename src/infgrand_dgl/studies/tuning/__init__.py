"""The search for an experiment's best settings, by the validation nodes alone."""
