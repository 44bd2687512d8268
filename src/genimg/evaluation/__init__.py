"""Metrics of a trained model: one module per question, each returns a list of `Figure`."""
