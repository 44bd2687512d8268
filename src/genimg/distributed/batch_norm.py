"""Batch normalisation with the statistics of the batches of all processes."""

from __future__ import annotations

import logging

import torch
import torch.distributed as dist
from pytorch_lightning.plugins import LayerSync
from torch import Tensor, nn

from genimg.distributed.data_parallel import all_reduce_sum

log = logging.getLogger(__name__)

_TORCH_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) over the batches of all processes, all of one size.

    torch's SyncBatchNorm works on GPUs only and cannot be differentiated twice, as a gradient penalty requires. In
    eval mode and in a single process this layer is torch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape and type; each channel has mean 0 and variance 1 before scale and shift."""
        if not (self.training and dist.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        per_channel = (1, -1, *[1] * (input.dim() - 2))
        count = input.numel() // self.num_features * dist.get_world_size()
        if count == 1:
            raise ValueError(f"expected more than 1 value per channel in training, got input of {tuple(input.shape)}")
        mean = all_reduce_sum(values.sum(axes)) / count
        centred = values - mean.view(per_channel)
        variance = all_reduce_sum(centred.square().sum(axes)) / count
        self._update_running(mean.detach(), variance.detach() * (count / (count - 1)))
        normalised = centred * (variance + self.eps).rsqrt().view(per_channel)
        if self.affine:
            normalised = normalised * self.weight.view(per_channel)
            normalised = normalised if self.bias is None else normalised + self.bias.view(per_channel)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class SynchronizedLayers(LayerSync):
    """Turns the batch normalisation layers of a model into `SyncBatchNorm`, except user-defined subclasses."""

    def apply(self, model: nn.Module) -> nn.Module:
        for name, layer in model.named_modules():
            if type(layer) in _TORCH_LAYERS:
                layer.__class__ = SyncBatchNorm  # keeps tensors, settings and hooks
            elif isinstance(layer, _TORCH_LAYERS):
                log.warning(
                    "%s is a user-defined %s: its statistics stay those of each process's batch",
                    name,
                    type(layer).__name__,
                )
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model  # in a single process the layer is torch's
