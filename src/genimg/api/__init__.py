"""Training from Python: `train` starts a run, and `Run` reads what is in its folder."""
