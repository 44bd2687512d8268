"""What the processor itself gains by bfloat16: GFLOP/s of what the GAN on Fashion-MNIST spends most of its time in.

    OMP_WAIT_POLICY=ACTIVE python benchmarks/processor.py

A matrix product, and the two largest convolutions, forward and backward, at batch 160 (64 real and 64 fake images,
and those of the penalty): each in float32 and in bfloat16, the median of a second.
"""

import argparse

import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

BATCH = 160
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


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
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
