"""Samples as files in a folder."""
