"""Sampling from a checkpoint: images in memory, image files, and exports of the generator."""
