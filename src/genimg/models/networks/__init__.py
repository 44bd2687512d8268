"""Plain `nn.Module`s, which know nothing of the training loop."""
