"""Compares the memory of training with the free memory: of the weights before they are built, and of a step."""

import math
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from genimg.common.build import Builder
from genimg.common.hardware import available_memory, require_memory
from genimg.common.settings import Node
from genimg.data.module import GenerativeData
from genimg.models.base import Batch, GenerativeModel
from genimg.models.memory import peak_memory
from genimg.training.machine import Machine

COPIES = 5  # of each weight: itself, its gradient, the two moments of Adam, and its EMA

_ROOM = 16  # maps of the widest kind, for each convolution: more than any model here keeps of a step


class NoDraws(TorchFunctionMode):
    """Leaves out `normal_`, `uniform_` and `trunc_normal_`, which take seconds for weights without values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "trunc_normal_"):
            return args[0] if args else kwargs["tensor"]  # torch.nn.init passes it by name
        return func(*args, **kwargs)


def check_memory(node: Node, builder: Builder, available: int | None = None) -> None:
    """Raises UserError if the weights of a model and what training keeps for them exceed the free memory.

    The model is built on torch's meta device, which allocates nothing. A class that cannot be built there is not
    checked.

    Args:
        available: bytes; None = the free memory of this machine.
    """
    available = available_memory() if available is None else available
    try:
        with torch.device("meta"), NoDraws(), torch.random.fork_rng(devices=[]):
            model: nn.Module = builder.build(node, "model")
        needed = COPIES * sum(weight.numel() * weight.element_size() for weight in model.parameters())
    except Exception:  # the class itself reports a setting that it refuses when it is built
        return
    hint = "reduce model.width, model.hidden or model.latent_dim"
    require_memory(needed, available, "model", "weights that need {} in training", hint)


def check_step(model: GenerativeModel, data: GenerativeData, machine: Machine, available: int | None = None) -> None:
    """Raises UserError if a training step at full length exceeds the free memory, on one CPU.

    On a GPU, torch ends a step that needs too much with a message. Several processes exchange values within a step,
    which then cannot be estimated.
    """
    available = available_memory() if available is None else available
    if machine.accelerator != "cpu" or machine.processes > 1 or available is None or _fits(model, data, available):
        return
    needed = peak_memory(model, lambda without_values: _step(without_values, data, machine))
    if needed is not None:
        what = f"{data.batch_size:,} images in a batch, which need at least {{}}"
        require_memory(needed, available, "data.batch_size", what, "reduce data.batch_size or model.width")


def _fits(model: GenerativeModel, data: GenerativeData, available: int) -> bool:
    """Whether a step fits by a bound that takes no time: all convolutions as wide as the widest, at full size."""
    widths = [max(weight.shape[:2]) for weight in model.parameters() if weight.dim() >= 4]
    pixels = data.batch_size * (data.num_frames or 1) * math.prod(data.image_shape[1:])
    return bool(widths) and _ROOM * len(widths) * max(widths) * pixels * 4 < available


def _step(model: Any, data: GenerativeData, machine: Machine) -> None:
    """One training step, outside a Trainer, on images without values."""
    frames = () if data.num_frames is None else (data.num_frames,)
    count = data.step_size
    images = torch.empty(count, *frames, *data.image_shape)
    batch: Batch = {"images": images, "labels": torch.zeros(count, dtype=torch.int64)}
    if data.actions:
        batch["actions"] = torch.zeros(count, (data.num_frames or 1) - 1, dtype=torch.int64)
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    model.manual_backward = lambda loss: loss.backward()
    model.set_clock(0, 1.0)  # schedules at their end: clips at full length
    with machine.autocast():
        results = model.training_step(batch, 0)
    if model.automatic_optimization:
        results["loss"].backward()
        for optimizer in model.optimizer_list():
            optimizer.step()
