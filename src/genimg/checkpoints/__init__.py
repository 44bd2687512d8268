"""Checkpoint files: written, read, and checked."""
