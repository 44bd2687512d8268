"""Initialisation and class embeddings that the networks share."""

from torch import Tensor, nn


def init_convolutions(module: nn.Module) -> None:
    """He initialisation for leaky ReLU with slope 0.2 (He et al. 2015, eq. 14); biases are zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def class_vectors(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Rows (B, E) of the embedding for `labels`, int64 (B,).

    Raises:
        ValueError: if `labels` is None.
    """
    if labels is None:
        raise ValueError("a conditional network needs labels of shape (B,), got None")
    return embedding(labels)
