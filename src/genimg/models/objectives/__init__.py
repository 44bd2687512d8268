"""Pure functions of tensors that return one value per image; the caller reduces."""
