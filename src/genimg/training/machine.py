"""What this machine is good at: the `auto` settings of the trainer, the precision by asking the hardware."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import deterministic

from genimg.common.hardware import count_cores, count_threads


@dataclass(frozen=True)
class Machine:
    """The trainer's settings with every `auto` resolved."""

    accelerator: str
    devices: int
    num_nodes: int
    precision: str
    channels_last: bool
    fused: bool
    deterministic: bool  # a GPU too sums in the same order each time
    threads: int
    strategy: str  # a name of Lightning's; auto and ddp are `AveragedGradients`

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.accelerator == "gpu" else f"CPU, {self.threads} threads"
        if self.processes > 1:
            where = f"{self.processes} x {where}"
        layout = "channels_last" if self.channels_last else "contiguous"
        order = ", deterministic" if self.deterministic else ""
        return f"{where}; {self.precision}, {layout}, {'fused' if self.fused else 'plain'} optimizers{order}"

    @property
    def processes(self) -> int:
        """That train together, each on a device of its own."""
        return self.devices * self.num_nodes

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")

    def autocast(self) -> torch.autocast:
        """The precision of training as a context, for what runs outside the trainer."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed")

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def choose(settings: dict[str, Any]) -> Machine:
    """Resolve the `trainer` settings (see configs/trainer/auto.yaml) for this machine, and set torch's threads."""
    accelerator = settings["accelerator"]
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu":
        # torch's optimizers ask at every step whether there is a GPU; told that none is to be seen, the answer is cheap
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    threads = settings["threads"] or min(count_threads(), max(1, count_cores() // settings["devices"]))
    torch.set_num_threads(threads)
    if settings["deterministic"]:
        _sum_in_one_order()
    half = _has_bf16(accelerator)
    precision, layout, fused = settings["precision"], settings["memory_format"], settings["fused"]
    return Machine(
        accelerator=accelerator,
        devices=settings["devices"],
        num_nodes=settings["num_nodes"],
        precision=("bf16-mixed" if half else "32-true") if precision == "auto" else str(precision),
        # half-precision kernels want channels_last; in float32 it is faster too (docs/results.md, Speed)
        channels_last=layout == "channels_last" or layout == "auto",
        fused=True if fused == "auto" else bool(fused),
        deterministic=settings["deterministic"],
        threads=threads,
        strategy=settings["strategy"],
    )


def _sum_in_one_order() -> None:
    """An operation that a GPU cannot do so is an error from here on; on a processor all of ours are so already."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch asks for it
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # pyright: ignore  # nothing here reads such memory


def _has_bf16(accelerator: str) -> bool:
    """Whether bfloat16 is computed by the hardware. Emulated, it is slower than float32."""
    if accelerator == "gpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
