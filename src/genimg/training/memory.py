"""Estimates the memory that a model takes in training, before it is built."""

import torch
from torch import nn

from genimg.common.build import Builder
from genimg.common.hardware import available_memory, require_memory
from genimg.common.settings import Node

COPIES = 5  # of each weight: itself, its gradient, the two moments of Adam, and its EMA


def check_memory(node: Node, builder: Builder, available: int | None = None) -> None:
    """Raises UserError if the weights of a model and what training keeps for them exceed the free memory.

    The model is built on torch's meta device, which allocates nothing. A class that cannot be built there is not
    checked, and neither are activations, which depend on the batch: `dry_run=true` measures them.

    Args:
        available: bytes; None = the free memory of this machine.
    """
    available = available_memory() if available is None else available
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model: nn.Module = builder.build(node, "model")
        needed = COPIES * sum(weight.numel() * weight.element_size() for weight in model.parameters())
    except Exception:  # the class itself reports a setting that it refuses when it is built
        return
    hint = "reduce model.width, model.hidden or model.latent_dim"
    require_memory(needed, available, "model", "weights that need {} in training", hint)
