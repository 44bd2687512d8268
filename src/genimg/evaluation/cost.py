"""The cost of training a model and of sampling from it."""

import time
from typing import Any

from genimg.checkpoints.read import Checkpoint
from genimg.evaluation.figure import Figure, counted
from genimg.sampling.sampler import CHUNK, Sampler

_TIMED = CHUNK * 4  # samples that are timed, after a warm-up of one chunk


def cost(checkpoint: Checkpoint, sampler: Sampler) -> list[Figure]:
    """Parameter counts, seconds and images of training up to the checkpoint, and the sampling speed on this machine."""
    clock: dict[str, Any] = checkpoint["clock"]
    images, seconds = int(checkpoint["images_seen"]), float(clock["seconds"])
    unit = counted(sampler.makes_sequences)
    counts = sampler.model.parameter_counts()
    figures = [Figure("cost", f"parameters of the {name}", count, "exact", 1) for name, count in counts.items()]
    figures.append(Figure("cost", f"{unit} seen", images, "exact", 1))
    figures.append(Figure("cost", "training seconds", seconds, "measured", 1, note="on the training machine"))
    if seconds > 0:
        figures.append(Figure("cost", f"{unit} per second, training", images / seconds, "measured", images, "higher"))
    name, note = f"{unit} per second, sampling", f"on this machine, {sampler.device}"
    figures.append(Figure("cost", name, sampling_speed(sampler), "measured", _TIMED, "higher", note=note))
    return figures


def sampling_speed(sampler: Sampler) -> float:
    """Samples per second on the sampler's device, including the copy to the CPU."""
    sampler.sample(CHUNK)
    started = time.perf_counter()
    sampler.sample(_TIMED)
    return _TIMED / (time.perf_counter() - started)
