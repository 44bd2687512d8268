"""Styles: the mean style of each class, and truncation towards it."""

import torch
from torch import Tensor

from genimg.common.noise import Noise
from genimg.models.base import HasStyles

_COUNT = 4096  # latents whose styles are averaged: the error of the mean is 1/64 of the deviation of the styles
_AT_ONCE = 256


class MeanStyles:
    """The mean style of each class, over the latents of samples 0 to 4,095 of seed 0.

    A mean is computed at its first use, on the device of the model, and kept.

    Args:
        model: has a mapping network.
        device: of the model.
    """

    def __init__(self, model: HasStyles, device: torch.device) -> None:
        self.model, self.device = model, device
        self._means: dict[int | None, Tensor] = {}

    def of(self, labels: Tensor | None) -> Tensor:
        """The mean styles (N, W) of the classes `labels`, int64 (N,); (1, W) for None, an unconditional model.

        For weights (N, K) of mixtures it gives the weighted means of the mean styles.
        """
        if labels is None:
            return self._mean(None)[None]
        if labels.is_floating_point():
            used = labels.any(0).nonzero().flatten()
            return labels[:, used] @ self.of(used)
        return torch.stack([self._mean(label) for label in labels.tolist()])

    def _mean(self, label: int | None) -> Tensor:
        if label not in self._means:
            self._means[label] = self._average(label)
        return self._means[label]

    @torch.no_grad()
    def _average(self, label: int | None) -> Tensor:
        """The mean style (W,) of a class."""
        total = torch.zeros((), device=self.device)
        for begin in range(0, _COUNT, _AT_ONCE):
            z = Noise(0, torch.arange(begin, begin + _AT_ONCE), self.device).normal(self.model.latent_dim)
            labels = None if label is None else torch.full((_AT_ONCE,), label, device=self.device)
            total = total + self.model.style(z, labels).float().sum(0)
        return total / _COUNT


def truncate_styles(w: Tensor, mean: Tensor, psi: float) -> Tensor:
    """mean + psi (w - mean) for styles w (N, W), or (N, L, W) with one for each layer; `mean` is (N, W) or (1, W).

    Karras et al. 2019, "A style-based generator architecture for generative adversarial networks", appendix B. At psi 1
    the result is exactly w, at 0 the mean.
    """
    return torch.lerp(mean if w.dim() == mean.dim() else mean.unsqueeze(1), w, psi)
