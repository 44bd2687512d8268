"""Checkpoint files: their fields, writing, reading and validation."""
