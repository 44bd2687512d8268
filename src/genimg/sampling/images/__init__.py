"""Image tensors as sheets, PNGs and GIFs. Depends on torch, numpy and Pillow only."""
