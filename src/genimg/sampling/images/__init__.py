"""Tensors to images on disk and back: sheets, PNGs, GIFs. torch, numpy and Pillow only."""
