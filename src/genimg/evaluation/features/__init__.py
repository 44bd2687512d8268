"""Feature extractors: images in, vectors out, for the figures that compare sets of images."""
