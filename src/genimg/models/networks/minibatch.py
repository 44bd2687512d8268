"""Minibatch standard deviation: the variety of a batch as a feature (Karras et al. 2018, section 3)."""

import torch
from torch import Tensor, nn

from genimg.distributed.data_parallel import all_reduce_mean


class MinibatchDeviation(nn.Module):
    """Appends one channel: the standard deviation over a group of images, averaged over all features.

    In training, a group is consecutive images. In eval mode the channel is its average over training and over the
    processes, so that no image depends on the others.

    Args:
        group: images of a group, 2 or more.
    """

    average: Tensor

    MOMENTUM = 0.01  # of the average over training

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group
        self.register_buffer("average", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C + 1, h, w), where B is a multiple of the group in training."""
        count, _, height, width = x.shape
        values = self._deviations(x) if self.training else self.average.expand(count)
        return torch.cat([x, values.to(x.dtype).view(count, 1, 1, 1).expand(count, 1, height, width)], dim=1)

    def _deviations(self, x: Tensor) -> Tensor:
        """The value of each image, (B,) in float32; updates the average."""
        groups = x.float().unflatten(0, (-1, self.group))  # (B, C, h, w) -> (B / group, group, C, h, w)
        variance = groups.var(1, correction=0)
        values = (variance + 1e-8).sqrt().mean((1, 2, 3))  # (B / group,)
        mean = values.detach().mean()
        all_reduce_mean([mean])
        self.average.lerp_(mean, self.MOMENTUM)
        return values.repeat_interleave(self.group)
