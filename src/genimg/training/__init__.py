"""Training: the loop (`fit.py`), what it is built from (`setup.py`), and its callbacks."""
