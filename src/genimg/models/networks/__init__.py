"""Plain `nn.Module`s; they know torch and each other, nothing of training."""
