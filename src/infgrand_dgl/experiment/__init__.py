"""An experiment from its configuration to a run directory."""
