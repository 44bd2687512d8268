"""Metrics as functions of arrays. They do not depend on the models."""
