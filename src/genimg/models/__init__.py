"""LightningModules: an objective, networks and optimizers put together."""
