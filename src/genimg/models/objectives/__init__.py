"""Losses and likelihoods: pure functions of tensors that return one value per image. The caller reduces."""
