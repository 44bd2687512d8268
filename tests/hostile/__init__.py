"""Hostile input: seeded mutations of valid files and settings, and the law that every command obeys for them."""
