"""What a run cost, and what its images cost."""

import time
from typing import Any

from genimg.checkpoints.read import Checkpoint
from genimg.evaluation.figure import Figure, counted
from genimg.sampling.sampler import CHUNK, Sampler

_CHUNKS = 4  # timed, after one that is not


def cost(checkpoint: Checkpoint, sampler: Sampler) -> list[Figure]:
    """Parameters, seconds and images of the training up to the checkpoint, and the speed of sampling here."""
    clock: dict[str, Any] = checkpoint["clock"]
    images, seconds = int(checkpoint["images_seen"]), float(clock["seconds"])
    what = counted(sampler.makes_sequences)
    counts = sampler.model.parameter_counts()
    found = [Figure("cost", f"parameters of the {name}", count, "exact", 1) for name, count in counts.items()]
    found.append(Figure("cost", f"{what} seen", images, "exact", 1))
    found.append(Figure("cost", "seconds trained", seconds, "measured", 1, note="on the machine it trained on"))
    if seconds > 0:
        found.append(Figure("cost", f"{what} a second in training", images / seconds, "measured", images, "higher"))
    speed = sampling_speed(sampler)
    found.append(
        Figure(
            "cost",
            f"{what} a second in sampling",
            speed,
            "measured",
            CHUNK * _CHUNKS,
            "higher",
            note=f"here, on {sampler.device}",
        )
    )
    return found


def sampling_speed(sampler: Sampler) -> float:
    """Images or clips a second, on the sampler's device, until they lie on the CPU."""
    sampler.sample(CHUNK)
    started = time.perf_counter()
    sampler.sample(CHUNK * _CHUNKS)
    return CHUNK * _CHUNKS / (time.perf_counter() - started)
