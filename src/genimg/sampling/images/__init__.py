"""Image tensors as sheets, PNGs and GIFs. Independent of models and data."""
