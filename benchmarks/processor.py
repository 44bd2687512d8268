"""What the processor itself gains by bfloat16: GFLOP/s of what the GAN on Fashion-MNIST spends most of its time in.

    OMP_WAIT_POLICY=ACTIVE python benchmarks/processor.py

A matrix product, and the two largest convolutions, forward and backward, at batch 160 (64 real and 64 fake images,
and those of the penalty): each in float32 and in bfloat16, the median of a second.

    OMP_WAIT_POLICY=ACTIVE python benchmarks/processor.py networks

The operations of the matrix products and convolutions in a training step of each network of the GAN, at 64 x 64 x 3
with ten classes and batch 64, by the time of the step; and their share of the speed of a matrix product.
"""

import argparse
import time
from typing import Any, cast

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import flop_registry

from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.settings import read_settings
from genimg.config.compose import Composer, without_hydra
from genimg.training.machine import Machine, configure
from genimg.training.settings import TrainerSettings, resolve_auto

BATCH = 160
IMAGES, PERIOD = 64, 16  # images of a step; steps after which the lazy penalties repeat
CONVOLUTIONS = [(32, 64, 7), (64, 128, 4)]  # channels in, channels out, side


def product(kind: torch.dtype) -> float:
    side = 2048
    a, b = (torch.randn(side, side).to(kind) for _ in range(2))
    return 2 * side**3 / median("a @ b", a=a, b=b)


def convolution(kind: torch.dtype, inputs: int, outputs: int, side: int, backward: bool) -> float:
    layout = torch.channels_last if kind == torch.bfloat16 else torch.contiguous_format
    images = torch.randn(BATCH, inputs, side, side).to(kind, memory_format=layout).requires_grad_(backward)
    weight = torch.randn(outputs, inputs, 3, 3).to(kind, memory_format=layout).requires_grad_(backward)
    operations = 2 * BATCH * side**2 * outputs * inputs * 9
    if not backward:
        return operations / median("F.conv2d(x, w, padding=1)", x=images, w=weight)
    out = F.conv2d(images, weight, padding=1)
    call = "torch.autograd.grad(out, (x, w), grad, retain_graph=True)"
    return 2 * operations / median(call, x=images, w=weight, out=out, grad=torch.randn_like(out))


def median(call: str, **names: torch.Tensor) -> float:
    """Nanoseconds, so that operations by them are GFLOP/s."""
    timer = Timer(call, globals={**names, "F": F, "torch": torch}, num_threads=torch.get_num_threads())
    return 1e9 * timer.blocked_autorange(min_run_time=1.0).median


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of matrix products and convolutions."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def training(network: str, machine: Machine) -> tuple[float, float, float]:
    """(operations of a training step in GFLOP, its seconds, and its images per second), without a Trainer."""
    words = [f"model/network={network}", "data=cifar10", "data.image_size=64", "model.conditional=true"]
    config = cast(dict[str, Any], OmegaConf.to_container(without_hydra(Composer("train").compose(words)), resolve=True))
    automatic = {"fused": machine.fused, "policy": ["translation"], "gamma": [2.0, 0.2]}
    model = Builder().build(resolve_auto(config["model"], automatic), "model").to(memory_format=machine.layout)
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    model.manual_backward = lambda loss: loss.backward()
    batch = {"images": 2 * torch.rand(IMAGES, 3, 64, 64) - 1, "labels": torch.arange(IMAGES) % 10}

    def steps(count: int) -> None:
        for index in range(count):
            model.set_clock(index * IMAGES, 0.5)
            with machine.autocast():
                model.training_step(batch, index)

    steps(PERIOD)
    with Operations() as operations:
        steps(PERIOD)
    started = time.perf_counter()
    steps(PERIOD)
    seconds = (time.perf_counter() - started) / PERIOD
    return operations.count / PERIOD / 1e9, seconds, IMAGES / seconds


def networks() -> None:
    composed = Composer("train").compose(["trainer=cpu", f"trainer.threads={torch.get_num_threads()}"])
    machine = configure(read_settings(TrainerSettings, without_hydra(composed).trainer))
    kind = torch.bfloat16 if machine.precision == "bf16-mixed" else torch.float32
    print(f"{machine}; a matrix product: {product(kind):.0f} GFLOP/s")
    for network in Composer("train").choices("model/network"):
        try:
            operations, seconds, images = training(network, machine)
        except (UserError, InterpolationKeyError):  # of another model
            continue
        speed = operations / seconds
        share = speed / product(kind)
        print(f"  {network:10} {operations:6.1f} GFLOP {speed:5.0f} GFLOP/s  {share:.2f}  {images:5.0f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["networks"])
    if parser.parse_args().what:
        return networks()
    kinds = (torch.float32, torch.bfloat16)
    rows = {"matrix product": [product(kind) for kind in kinds]}
    for inputs, outputs, side in CONVOLUTIONS:
        for backward in (False, True):
            name = f"{inputs} to {outputs} at {side} x {side}{', backward' if backward else ''}"
            rows[name] = [convolution(kind, inputs, outputs, side, backward) for kind in kinds]
    print(f"GFLOP/s, {torch.get_num_threads()} threads")
    for name, (full, half) in rows.items():
        print(f"  {name:30} float32 {full:6.0f}   bfloat16 {half:6.0f}   {half / full:.2f} times")


if __name__ == "__main__":
    main()
