"""The models: LightningModules that combine networks, objectives and optimizers."""
