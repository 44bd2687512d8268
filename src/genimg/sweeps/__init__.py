"""Sweeps: many runs from one command, with `-m`."""
