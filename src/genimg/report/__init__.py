"""Pages to look at: one HTML file each, which opens from disk without a network."""
