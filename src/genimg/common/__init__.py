"""Utilities that know nothing of the other packages."""
