"""Lightning's profilers, by the names of `trainer.profiler`."""

from pathlib import Path

from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


def build_profiler(name: str | None, folder: Path) -> Profiler | None:
    """Returns a profiler that writes `fit-profile.txt` to a folder, and with `pytorch` a trace; None for no name."""
    return PROFILERS[name](dirpath=folder, filename="profile") if name else None
