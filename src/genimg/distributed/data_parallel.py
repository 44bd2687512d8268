"""Several processes that train one model: each its share of every batch, all with the same weights.

What must be alike on all of them is agreed on here: the gradients after each backward pass, the clock after each step.
What only one of them needs to do (measure, draw, write) the first one does; where the others need its result, they
get it from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.autograd import Function

from genimg.common import ranks
from genimg.common.errors import PeerLost
from genimg.distributed.rendezvous import Meeting

Value = TypeVar("Value")


class AveragedGradients(DDPStrategy):
    """Data parallelism without the DistributedDataParallel wrapper: one all-reduce of all gradients a backward pass.

    The wrapper must know before each backward pass which parameters it will reach, and searches the graph for them
    where that differs, as between the two phases of a GAN. Here the gradients that are there are averaged: those of
    the parameters that require one, in one message. `benchmarks/parallel.py` compares the two.
    """

    def setup_distributed(self) -> None:
        super().setup_distributed()
        # numbers of the host go over gloo, so that no GPU is waited for
        self._control: Any = None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")

    def configure_ddp(self) -> None:
        assert self.lightning_module is not None
        share(list(self.lightning_module.state_dict().values()))

    def broadcast(self, obj: Value, src: int = 0) -> Value:
        with _together():
            return super().broadcast(obj, src)

    def reduce(self, tensor: Tensor, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        with _together():
            return super().reduce(tensor, group, reduce_op)

    def post_backward(self, closure_loss: Tensor) -> None:
        assert self.lightning_module is not None
        parameters = self.lightning_module.parameters()
        all_reduce_mean([p.grad for p in parameters if p.requires_grad and p.grad is not None])

    def highest(self, values: list[float]) -> list[float]:
        """Each value's maximum over the processes."""
        tensor = torch.tensor(values, dtype=torch.float64)
        with _together():
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._control)
        return tensor.tolist()


def all_reduce_mean(tensors: list[Tensor]) -> None:
    """The mean of each tensor over the processes, in place and in one message. All of one type.

    Does nothing where there is one process.
    """
    if not dist.is_initialized():
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _together():
        dist.all_reduce(flat)
    flat.div_(dist.get_world_size())  # gloo has no average of its own
    parts = flat.split([tensor.numel() for tensor in tensors])
    views = [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    torch._foreach_copy_(tensors, views)  # pyright: ignore[reportPrivateImportUsage]


class _Total(Function):
    """A sum over the processes, and of the gradients of it, which is its derivative."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        whole = tensor.clone()
        with _together():
            dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return total(grads[0])


def total(tensor: Tensor) -> Tensor:
    """The sum over the processes, which can be differentiated, as often as one likes; of one process its own."""
    return _Total.apply(tensor) if dist.is_initialized() else tensor


def share(tensors: list[Tensor]) -> None:
    """Gives every process the first one's values, in place; does nothing where there is one process."""
    if not dist.is_initialized():
        return
    with torch.no_grad():
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            with _together():
                dist.broadcast(whole, src=0)
            tensor.copy_(whole)


def highest(trainer: Trainer, values: list[float]) -> list[float]:
    """Each value's maximum over the processes that train together."""
    return trainer.strategy.highest(values) if isinstance(trainer.strategy, AveragedGradients) else values


def gathered(value: Value) -> list[Value]:
    """`value` of every process, by rank."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    with _together():
        dist.all_gather_object(values, value)
    return values


@contextmanager
def _together() -> Iterator[None]:
    """What fails in here fails because another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


def environment() -> ClusterEnvironment:
    """Where Lightning reads this process's place: from torchrun or srun if they started it, else it is alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return TorchElasticEnvironment()
    if not ranks.is_one_of_several():
        return LightningEnvironment()
    # 4(x2),3: Lightning wants the number that `srun --ntasks=8` leaves out
    here = os.environ.get("SLURM_STEP_TASKS_PER_NODE", os.environ["SLURM_STEP_NUM_TASKS"]).split("(")[0]
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", here)
    return SLURMEnvironment(auto_requeue=False)


def join(device: torch.device) -> Meeting | None:
    """Joins the group of the run's processes, and returns where they have met; None for a process alone."""
    if not ranks.is_one_of_several():
        return None
    place = environment()
    os.environ.setdefault("MASTER_ADDR", place.main_address)
    os.environ.setdefault("MASTER_PORT", str(place.main_port))
    if device.type == "cuda":
        torch.cuda.set_device(place.local_rank())
    rank, processes = place.global_rank(), place.world_size()
    meeting = Meeting.of_environment(rank, processes)
    meeting.wait_for_all()
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=meeting.store, rank=rank, world_size=processes)
    return meeting


def leave() -> None:
    """Leaves the group: from here on the first process works alone."""
    if dist.is_initialized():
        dist.destroy_process_group()
