"""Data sets of images and sequences: sources, storage as uint8, splits and batches."""
