"""Networks that pass gradients and receive none, and layers that keep their statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Computes no gradients of the network's weights within it, which saves a third of a pass.

    Weights that were frozen before stay so afterwards.
    """
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


@contextmanager
def constant_statistics(network: nn.Module) -> Iterator[None]:
    """Leaves the running statistics of batch normalisation as they are within it."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    kept = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        layer.num_batches_tracked = None
    try:
        yield
    finally:
        for layer, (momentum, tracked) in zip(layers, kept, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, tracked
