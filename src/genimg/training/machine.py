"""Resolves the `auto` settings of the trainer for this machine."""

import os
from dataclasses import asdict, dataclass

import torch
from torch.utils import deterministic

from genimg.common.hardware import count_cores, count_threads
from genimg.training.settings import TrainerSettings


@dataclass(frozen=True)
class Machine(TrainerSettings):
    """The trainer's settings with every `auto` resolved, except those of `strategy` and `graph`."""

    fused: bool
    threads: int

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.accelerator == "gpu" else f"CPU, {self.threads} threads"
        if self.processes > 1:
            where = f"{self.processes} x {where}"
        order = ", deterministic" if self.deterministic else ""
        fused = "fused" if self.fused else "plain"
        return f"{where}; {self.precision}, {self.memory_format}, {fused} optimizers{order}"

    @property
    def processes(self) -> int:
        """Processes that train together, one per device."""
        return self.devices * self.num_nodes

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")

    def autocast(self) -> torch.autocast:
        """Returns a context with the precision of training, for code that runs outside the trainer."""
        dtype = torch.float16 if self.scaled else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "32-true")

    @property
    def scaled(self) -> bool:
        """Whether losses are scaled, because the gradients of float16 would vanish: Micikevicius et al. 2018, 3.2."""
        return self.precision == "16-mixed"

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of convolutions."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format


def configure(settings: TrainerSettings, bf16: bool | None = None) -> Machine:
    """Resolves the `trainer` settings (configs/trainer/auto.yaml) and sets torch's number of threads.

    bf16: whether `precision: auto` is bf16-mixed; None asks the hardware.
    """
    accelerator = settings.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu":
        # torch's optimizers ask at every step whether there is a GPU; without visible devices the answer is cheap
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    threads = settings.threads or min(count_threads(), max(1, count_cores() // settings.devices))
    torch.set_num_threads(threads)
    if settings.deterministic:
        _use_deterministic_algorithms()
    bf16 = has_bf16(accelerator) if bf16 is None else bf16
    # bfloat16 kernels need channels_last; in float32 it is faster too (docs/results.md, Speed)
    auto: dict[str, str | bool] = {
        "precision": "bf16-mixed" if bf16 else "32-true",
        "memory_format": "channels_last",
        # a fused step would divide scaled gradients itself, after everything that limits them
        "fused": settings.precision != "16-mixed",
    }
    resolved = {name: value if value != "auto" else auto.get(name, value) for name, value in asdict(settings).items()}
    return Machine(**{**resolved, "accelerator": accelerator, "threads": threads})


def has_bf16(accelerator: str) -> bool:
    """Returns whether the hardware computes bfloat16. Emulated, it is slower than float32."""
    if accelerator == "gpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _use_deterministic_algorithms() -> None:
    """Makes every GPU operation without a deterministic algorithm an error. CPU operations used here all have one."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by torch
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # pyright: ignore  # no code here reads such memory
