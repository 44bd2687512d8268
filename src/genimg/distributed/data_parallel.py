"""Data parallelism: every process trains on its share of each batch, and all have the same weights.

After each backward pass the processes average their gradients, after each step they agree on the clock. Rank 0 alone
measures, draws samples and writes files; where the others need its result, it broadcasts it. Messages are plain types
and tensors, which `torch.load(weights_only=True)` reads.
"""

from __future__ import annotations

import io
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
from genimg.distributed.rendezvous import Rendezvous

Value = TypeVar("Value")

LARGEST_MESSAGE = 2**26  # bytes; the state of a process with 10,000 unwritten metrics has about 10^7


class AveragedGradients(DDPStrategy):
    """Data parallelism without DistributedDataParallel: one all-reduce of all gradients after each backward pass.

    DistributedDataParallel must know before a backward pass which parameters it reaches, and searches the graph if that
    changes, as between the two phases of a GAN. This strategy averages the gradients that exist of the parameters that
    require one, in one message. `benchmarks/parallel.py` compares the two.
    """

    def setup_distributed(self) -> None:
        super().setup_distributed()
        # values of the host use gloo, so that they do not wait for the GPU
        self._host_group: Any = None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")

    def configure_ddp(self) -> None:
        assert self.lightning_module is not None
        broadcast_tensors(list(self.lightning_module.state_dict().values()))

    def broadcast(self, obj: Value, src: int = 0) -> Value:
        return broadcast_plain(obj, src)

    def reduce(self, tensor: Tensor, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        with _raise_peer_lost():
            return super().reduce(tensor, group, reduce_op)

    def post_backward(self, closure_loss: Tensor) -> None:
        assert self.lightning_module is not None
        parameters = self.lightning_module.parameters()
        all_reduce_mean([p.grad for p in parameters if p.requires_grad and p.grad is not None])

    def all_reduce_max(self, values: list[float]) -> list[float]:
        """Returns the maximum of each value over the processes."""
        tensor = torch.tensor(values, dtype=torch.float64)
        with _raise_peer_lost():
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._host_group)
        return tensor.tolist()


def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replaces each tensor by its mean over the processes, in one message. All tensors have the same type.

    Does nothing in a single process.
    """
    if not dist.is_initialized():
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _raise_peer_lost():
        dist.all_reduce(flat)
    flat.div_(dist.get_world_size())  # gloo has no ReduceOp.AVG
    parts = flat.split([tensor.numel() for tensor in tensors])
    views = [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    torch._foreach_copy_(tensors, views)  # pyright: ignore[reportPrivateImportUsage]


class _AllReduceSum(Function):
    """The sum over the processes. Its derivative is the same sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        result = tensor.clone()
        with _raise_peer_lost():
            dist.all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return all_reduce_sum(grads[0])


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Returns the sum over the processes, differentiable any number of times. In a single process: the tensor."""
    return _AllReduceSum.apply(tensor) if dist.is_initialized() else tensor


def broadcast_tensors(tensors: list[Tensor]) -> None:
    """Copies the values of rank 0 to all processes, in place. Does nothing in a single process."""
    if not dist.is_initialized():
        return
    with torch.no_grad():
        for tensor in tensors:
            values = tensor.detach().contiguous()
            with _raise_peer_lost():
                dist.broadcast(values, src=0)
            tensor.copy_(values)


def all_reduce_max(trainer: Trainer, values: list[float]) -> list[float]:
    """Returns the maximum of each value over the processes of `trainer`."""
    return trainer.strategy.all_reduce_max(values) if isinstance(trainer.strategy, AveragedGradients) else values


def all_gather(value: Value) -> list[Value]:
    """Returns the `value` of every process, by rank: plain types and tensors on the CPU."""
    if not dist.is_initialized():
        return [value]
    message = _pack(value)
    sizes = [message.new_empty(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    with _raise_peer_lost():
        dist.all_gather(sizes, _size_of(message))
    lengths = [_checked(size) for size in sizes]
    padded = torch.nn.functional.pad(message, (0, max(lengths) - len(message)))
    messages = [torch.empty_like(padded) for _ in lengths]
    with _raise_peer_lost():
        dist.all_gather(messages, padded)
    return [_unpack(one[:length]) for one, length in zip(messages, lengths, strict=True)]


def broadcast_plain(value: Value, src: int = 0) -> Value:
    """Returns the `value` of the process `src`: plain types and tensors on the CPU."""
    if not dist.is_initialized():
        return value
    message = _pack(value if dist.get_rank() == src else None)
    size = _size_of(message)
    with _raise_peer_lost():
        dist.broadcast(size, src)
    if dist.get_rank() != src:
        message = message.new_empty(_checked(size))
    with _raise_peer_lost():
        dist.broadcast(message, src)
    return _unpack(message)


def _pack(value: object) -> Tensor:
    """Returns plain types and tensors as bytes (N,), on the device of the process group."""
    file = io.BytesIO()
    torch.save(value, file)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    message = torch.frombuffer(file.getbuffer(), dtype=torch.uint8).to(device)
    _checked(_size_of(message))
    return message


def _unpack(message: Tensor) -> Any:
    # weights_only: another process of the run cannot have this one execute code
    return torch.load(io.BytesIO(message.cpu().numpy().tobytes()), map_location="cpu", weights_only=True)


def _size_of(message: Tensor) -> Tensor:
    return torch.tensor([len(message)], device=message.device)


def _checked(size: Tensor) -> int:
    length = int(size)
    if not 0 < length <= LARGEST_MESSAGE:
        raise ValueError(f"a message between processes has 1 to {LARGEST_MESSAGE:,} bytes, got {length:,}")
    return length


@contextmanager
def _raise_peer_lost() -> Iterator[None]:
    """Raises PeerLost for a collective operation that fails: another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


def cluster_environment() -> ClusterEnvironment:
    """Returns where Lightning reads the ranks: from torchrun or srun, if they started this process."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return TorchElasticEnvironment()
    if not ranks.is_distributed():
        return LightningEnvironment()
    # Lightning needs a number that `srun --ntasks=8` does not set; the value here is like 4(x2),3
    tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE", os.environ["SLURM_STEP_NUM_TASKS"]).split("(")[0]
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", tasks)
    return SLURMEnvironment(auto_requeue=False)


def join(device: torch.device) -> Rendezvous | None:
    """Joins the process group of the run. Returns its rendezvous; None for a single process."""
    if not ranks.is_distributed():
        return None
    cluster = cluster_environment()
    os.environ.setdefault("MASTER_ADDR", cluster.main_address)
    os.environ.setdefault("MASTER_PORT", str(cluster.main_port))
    if device.type == "cuda":
        torch.cuda.set_device(cluster.local_rank())
    rank, world_size = cluster.global_rank(), cluster.world_size()
    rendezvous = Rendezvous.from_environment(rank, world_size)
    rendezvous.wait_for_all()
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=rendezvous.store, rank=rank, world_size=world_size)
    return rendezvous


def leave() -> None:
    """Leaves the process group. Afterwards rank 0 works alone."""
    if dist.is_initialized():
        dist.destroy_process_group()
