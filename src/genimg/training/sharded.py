"""Several processes that train one model too large for each: weights, gradients, optimizers and average in parts.

Between two uses each process holds its part of every large layer. What a layer computes with is gathered from all of
them just before, and freed after; gradients are averaged and kept in parts. A tensor in parts is torch's DTensor.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, cast

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor.experimental import implicit_replication
from torch.optim import Optimizer

from genimg.common.errors import LostProcess, UserError
from genimg.common.ranks import rank
from genimg.distributed.data_parallel import AveragedGradients, average
from genimg.models.base import GenerativeModel

#: Parameters of a layer from which on it is kept in parts: under it a message would cost more than the memory.
LEAST = 2**16
#: Of torch's `fully_shard`; torch 2.11 has only the first.
NEEDED = ("set_force_sum_reduction_for_comms", "reset_iter_state")


class ShardedWeights(AveragedGradients):
    """Fully sharded data parallelism (Rajbhandari et al. 2020, ZeRO stage 3) by torch's `fully_shard`, layer by layer.

    What is no large layer of torch's own stays whole, its gradients averaged: a layer is always called, so its weights
    are there when they are needed, which nobody knows of a parameter that a module keeps for itself.
    """

    def __init__(self) -> None:
        """UserError where torch is older than what this calls."""
        super().__init__()
        if not all(hasattr(FSDPModule, name) for name in NEEDED):
            newer = f"a newer torch than {version('torch')}, whose fully_shard lacks a part; 2.14 has all"
            raise UserError("trainer.strategy", "fsdp", newer, hint="trainer.strategy=ddp")

    def configure_ddp(self) -> None:
        super().configure_ddp()
        model = cast(GenerativeModel, self.lightning_module)
        # a bias of length 1 beside parts is meant to be whole; no output of a layer is changed in place
        warnings.filterwarnings("ignore", "Found a non-scalar tensor with numel=1")
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
        free = not model.differentiates_gradients
        mesh = init_device_mesh(self.root_device.type, (dist.get_world_size(),))
        for layer in large_layers(model):
            part = fully_shard(layer, mesh=mesh, reshard_after_forward=free)
            part.set_reshard_after_backward(free)
            part.set_force_sum_reduction_for_comms(True)  # gloo has no average of its own
        # the root, so that a layer is gathered while the one before it computes
        fully_shard(model, mesh=mesh, ignored_params={p for p in model.parameters() if not isinstance(p, DTensor)})
        register_fsdp_forward_method(model, "training_step")

    def training_step(self, *given: Any, **named: Any) -> Any:
        with _together():
            return super().training_step(*given, **named)

    def post_backward(self, closure_loss: Tensor) -> None:
        assert self.lightning_module is not None
        for layer in _in_parts(self.lightning_module):
            layer.reshard()
        whole = [p.grad for p in self.lightning_module.parameters() if not isinstance(p, DTensor) and p.requires_grad]
        if grads := [grad for grad in whole if grad is not None]:
            average(grads)

    def optimizer_step(self, *given: Any, **named: Any) -> Any:
        with _together(), implicit_replication():  # parameters in parts and whole ones in one step, and in one norm
            return super().optimizer_step(*given, **named)


def large_layers(model: nn.Module) -> list[nn.Module]:
    """torch's own layers with `LEAST` parameters or more, those inside of another one left out."""
    found: list[nn.Module] = []
    seen: set[nn.Module] = set()
    for module in model.modules():
        has_some = next(module.parameters(recurse=False), None) is not None
        if module not in seen and has_some and type(module).__module__.startswith("torch.nn."):
            seen.update(module.modules())
            found += [module] if sum(p.numel() for p in module.parameters()) >= LEAST else []
    return found


def _in_parts(model: nn.Module) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


@contextmanager
def _together() -> Iterator[None]:
    """A message between processes that fails in the middle of a pass fails because another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostProcess(str(error)) from error
        raise


@contextmanager
def assembled(model: GenerativeModel) -> Iterator[None]:
    """The weights whole on every process, so that one of them can use the model alone. All have to enter it.

    Does nothing where they are whole already.
    """
    layers = _in_parts(model)
    for layer in layers:
        layer.set_reshard_after_forward(False, recurse=False)
        with _together():
            layer.unshard()
    try:
        yield
    finally:
        if layers:
            cast(FSDPModule, model).reset_iter_state()  # parts again, and what one process did alone is forgotten
        for layer in layers:
            layer.set_reshard_after_forward(not model.differentiates_gradients, recurse=False)


def part_of(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory; the tensor where it is whole."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor that all processes have, in parts as `like` is; itself where `like` is whole."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def whole(state: Any) -> Any:
    """Nested plain types with their tensors in parts put together, on the first process's CPU; None on the others.

    All processes have to call it.
    """
    if isinstance(state, DTensor):
        with _together():
            full = state.full_tensor()
        return full.cpu() if rank() == 0 else None
    if isinstance(state, dict):
        return {name: whole(part) for name, part in state.items()}
    return type(state)(map(whole, state)) if isinstance(state, list | tuple) else state


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """`optimizer.load_state_dict` of whole tensors; what has a parameter's shape is divided as the parameter is."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {
            name: divided(value, parameters[index])
            if isinstance(value, Tensor) and value.shape == parameters[index].shape
            else value
            for name, value in of_one.items()
        }
        for index, of_one in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})
