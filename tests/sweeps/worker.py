"""Replaces genimg.launch.worker, without torch: leaves the files of a run, and does what its `seed` says.

Seeds 1 and 2 fail with an exit code of the same number and an error in the log, until a file `repaired` exists. Seeds
7, 8 and 9 wait for a signal; 7 takes a second to save. Seed 5 measures nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from genimg.common.processes import end_with_parent, parent_pid, unblock_interrupts


def main() -> int:
    end_with_parent(signal.SIGTERM, parent_pid())  # like a worker
    config = OmegaConf.load(sys.argv[1])
    if config.task != "train":  # the comparison of the runs
        return 0
    folder = Path(config.run_dir)
    checkpoint = folder / "checkpoints" / "last.pt"
    (folder / "started").write_text(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {config.trainer.threads}")
    resumed = config.resume is not None
    if config.seed in (7, 8, 9) and not resumed:
        seconds = 1 if config.seed == 7 else 0
        signal.signal(signal.SIGINT, lambda number, frame: stop(checkpoint, seconds, number))
        signal.signal(signal.SIGTERM, lambda number, frame: stop(checkpoint, seconds, number))
        unblock_interrupts()
        (folder / "waits").write_text(str(os.getpid()))
        time.sleep(240)
    if config.seed in (1, 2) and not Path("repaired").exists():
        (folder / "train.log").write_text(
            "2026-01-01 00:00:00,000 ERROR   genimg: Traceback\n"
            f"2026-01-01 00:00:00,000 ERROR   genimg: error: seed {config.seed} fails: here\n"
            "  expected: elsewhere\n"
            "2026-01-01 00:00:00,000 INFO    genimg: report\n"
        )
        return int(config.seed)
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    direction = "max" if config.data.name == "moving_digits" else "min"
    value, n = config.model.lr * (1 + config.seed), config.callbacks.frechet_random.num_images
    best = {"name": "frechet_random", "value": value, "direction": direction, "n": n, "images_seen": 8}
    if config.seed != 5:
        (folder / "best.json").write_text(json.dumps(best))
    return 0


def stop(checkpoint: Path, seconds: float, number: int) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    time.sleep(seconds)
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
