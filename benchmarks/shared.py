"""The speed of a run before, beside and after another busy process.

    python benchmarks/shared.py                                  # the defaults, 90 s
    python benchmarks/shared.py --words model=vae data=digits

A process that does nothing but count starts after a third of the run and ends after two thirds. The speed of each part
is that of the steps within it, without the four seconds after a change. Every other load of the machine counts too.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SETTLED = 4.0  # seconds


def count() -> None:
    while True:
        pass


def rows(folder: Path) -> list[dict[str, float]]:
    """The rows of training so far."""
    files = list(folder.glob("*/*/metrics.jsonl"))
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row for row in found if row["stage"] == "train"]


def images_at(found: list[dict[str, float]], seconds: float) -> float:
    """Images seen at a time, between the rows before and after it."""
    times = [0.0, *(row["seconds"] for row in found)]
    return float(np.interp(seconds, times, [0.0, *(row["images_seen"] for row in found)]))


def wait_until(folder: Path, seconds: float) -> None:
    """Waits until the run in `folder` has trained so long."""
    while not any(row["seconds"] >= seconds for row in rows(folder)):
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", nargs="*", default=[], help="words of the command")
    parser.add_argument("--seconds", type=float, default=90, help="of training")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genimg-") as name:
        folder, third = Path(name), arguments.seconds / 3
        words = [*arguments.words, f"budget.minutes={arguments.seconds / 60}", "callbacks=none", "logger=none"]
        command = [sys.executable, "-m", "genimg", *words, "log_every_steps=20", f"outputs={folder}"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(folder, third)
        busy = multiprocessing.Process(target=count, daemon=True)
        busy.start()
        wait_until(folder, 2 * third)
        busy.terminate()
        run.wait()
        found = rows(folder)
    speeds: list[float] = []
    for part, title in enumerate(("alone", "beside a busy process", "alone again")):
        first, last = part * third + SETTLED, (part + 1) * third
        speeds.append((images_at(found, last) - images_at(found, first)) / (last - first))
        print(f"{title:24} {speeds[-1]:7,.0f} images/s  {speeds[-1] / speeds[0]:.2f}")


if __name__ == "__main__":
    main()
