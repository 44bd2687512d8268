"""Initialisation, class embeddings and styles that the networks share."""

from collections.abc import Sequence

from torch import Tensor, nn


def init_convolutions(module: nn.Module) -> None:
    """He initialisation for leaky ReLU with slope 0.2 (He et al. 2015, eq. 14); biases are zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def layer_styles(w: Tensor, count: int) -> Sequence[Tensor]:
    """The style (B, W) of each of `count` layers, from w (B, W), which all layers share, or (B, count, W)."""
    return w.unbind(1) if w.dim() == 3 else [w] * count


def class_vectors(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Rows (B, E) of the embedding for `labels`, int64 (B,); their weighted means for float weights (B, K).

    Raises:
        ValueError: if `labels` is None.
    """
    if labels is None:
        raise ValueError("a conditional network needs labels of shape (B,), got None")
    return labels @ embedding.weight if labels.is_floating_point() else embedding(labels)
