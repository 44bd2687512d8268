"""Layers with batch statistics, where several processes share a batch: those of the whole batch."""

from __future__ import annotations

import logging

import torch
import torch.distributed as dist
from pytorch_lightning.plugins import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genimg.distributed.data_parallel import total

log = logging.getLogger(__name__)

_TORCHS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


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
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        per_channel = (1, -1, *[1] * (input.dim() - 2))
        count = input.numel() // self.num_features * dist.get_world_size()
        if count == 1:
            raise ValueError(f"more than 1 value per channel is needed in training, got input of {tuple(input.shape)}")
        mean = total(values.sum(axes)) / count
        centred = values - mean.view(per_channel)
        variance = total(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
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
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class SynchronizedLayers(LayerSync):
    """Makes torch's layers of batch normalisation in a model `SyncBatchNorm`s; those of classes made of them stay."""

    def apply(self, model: nn.Module) -> nn.Module:
        for name, layer in model.named_modules():
            if type(layer) in _TORCHS:
                layer.__class__ = SyncBatchNorm  # the same tensors, settings and hooks, another `forward`
            elif isinstance(layer, _BatchNorm):
                log.warning(
                    "%s is a %s, no layer of torch's own: its statistics stay those of each process's batch",
                    name,
                    type(layer).__name__,
                )
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model  # in one process it is the layer that it was
