"""The generating half of a model, for use without this project: its function, its files, its card."""
