"""The command `firefusion`."""
