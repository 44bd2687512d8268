"""Layers with batch statistics, where several processes share a batch: those of the whole batch."""

from __future__ import annotations

import logging

import torch
import torch.distributed as dist
from pytorch_lightning.plugins import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genimg.parallel import total

log = logging.getLogger(__name__)


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) over the batches of all processes, all of one size.

    torch's own works on GPUs only and cannot be differentiated twice, which a gradient penalty does. In eval mode, and
    where there is one process, this is torch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape and type, each channel of mean 0 and variance 1 before its scale and shift."""
        if not (self.training and dist.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        values, per_channel = input.float(), (1, -1, *[1] * (input.dim() - 2))
        count = input.numel() // self.num_features * dist.get_world_size()
        mean = total(values.sum(axes)) / count
        centred = values - mean.view(per_channel)
        variance = total(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        normed = centred * (variance + self.eps).rsqrt().view(per_channel)
        if self.affine:
            normed = normed * self.weight.view(per_channel)
            normed = normed if self.bias is None else normed + self.bias.view(per_channel)
        return normed.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class SynchronizedLayers(LayerSync):
    """Makes every layer of batch normalisation of a model a `SyncBatchNorm`, unless its `forward` is its own."""

    def apply(self, model: nn.Module) -> nn.Module:
        for name, layer in model.named_modules():
            if not isinstance(layer, _BatchNorm):
                continue
            if type(layer).forward in (_BatchNorm.forward, nn.SyncBatchNorm.forward):
                layer.__class__ = SyncBatchNorm  # the same tensors, settings and hooks, another `forward`
            else:
                log.warning("%s has a forward of its own: its statistics stay those of each process's batch", name)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model  # in one process it is the layer that it was
