"""Rejection sampling by the discriminator: images with low logits are drawn again."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genimg.common.noise import Noise

Draw = Callable[[Noise, Tensor | None], Tensor]  # noise and labels -> images (N, C, H, W)
Logits = Callable[[Tensor, Tensor | None], Tensor]  # images and labels -> (N,)

_COUNT = 256  # images from which a threshold is estimated: the error of the share is at most 0.03
_AT_ONCE = 16


class Selection:
    """Draws only images whose logit is among the highest of their class.

    The threshold of a class is the quantile 1 - share of the logits of samples 0 to 255 of seed 0. An image below it is
    replaced by the next draw of the same sample, with the noise (seed, index, 1), (seed, index, 2), and so on. So a
    sample is a function of (seed, index), and one that reaches the threshold at once does not change. After 10 / share
    draws, of which none may reach it in 1 of 20,000 samples, the best one is taken.

    Args:
        draw: draws the images of noise and labels.
        logits: the logits of images, of which higher ones are more realistic.
        share: the share of images that is kept, above 0 and at most 1.
        device: of the model.
    """

    def __init__(self, draw: Draw, logits: Logits, share: float, device: torch.device) -> None:
        self.draw, self.logits, self.share, self.device = draw, logits, share, device
        self._thresholds: dict[tuple[float, ...], Tensor] = {}

    def __call__(self, noise: Noise, labels: Tensor | None) -> Tensor:
        """The selected images (N, C, H, W) of noise and labels."""
        thresholds = torch.stack([self._threshold(None if labels is None else labels[i]) for i in range(len(noise))])
        best = self.draw(noise, labels)
        logits = self.logits(best, labels)
        for future in range(1, math.ceil(10 / self.share)):
            below = logits < thresholds
            if not below.any():
                break
            images = self.draw(noise.of_future(future), labels)
            others = self.logits(images, labels)
            better = below & (others > logits)
            best = torch.where(better.view(-1, 1, 1, 1), images, best)
            logits = torch.where(better, others, logits)
        return best

    def _threshold(self, label: Tensor | None) -> Tensor:
        """The threshold of a class, a scalar int64, or of a mixture, its weights (K,)."""
        key = () if label is None else tuple(label.flatten().tolist())
        if key not in self._thresholds:
            logits = []
            for begin in range(0, _COUNT, _AT_ONCE):
                noise = Noise(0, torch.arange(begin, begin + _AT_ONCE), self.device)
                labels = None if label is None else label.expand(_AT_ONCE, *label.shape)
                logits.append(self.logits(self.draw(noise, labels), labels))
            self._thresholds[key] = torch.cat(logits).quantile(1 - self.share)
        return self._thresholds[key]
