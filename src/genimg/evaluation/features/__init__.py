"""Feature extractors: they map images to vectors, from which metrics compare sets of images."""
