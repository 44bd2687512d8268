"""Data: sources of stills and sequences, kept as uint8 and handed out a batch at a time."""
