"""HTML pages of a run and of a comparison of runs: one file each, usable without a network."""
