"""Callbacks of a training run, one concern per file."""
