"""From a trained policy to files that run without drc_lab."""
