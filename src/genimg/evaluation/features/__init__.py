"""Feature extractors: pictures in, vectors out, for the figures that compare sets of pictures."""
