"""Kills runs of every kind, resumes them to their end, and compares them with uninterrupted runs.

make survive            # 50 kills
python -m tests.survival.long --kills 10 --seed 3 --kinds search
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.survival.harness import Killed
from tests.survival.kinds import DISK, KINDS, Kind

KILLS_OF_A_RUN = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="only those with this word in their name")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # prints the table and cleans up
    draw = random.Random(given.seed)
    kinds = {name: kind for name, kind in KINDS.items() if given.kinds in name}
    counts: dict[str, Counter[str]] = {name: Counter() for name in kinds}
    straight: dict[str, tuple[list[Any], float]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
            if not may_mount(Path(folder)):
                print("skipped: full disks, since this machine does not allow mounting one")
                kinds = {name: kind for name, kind in kinds.items() if not kind.on_small_disk}
            for turn, name in enumerate(itertools.cycle(kinds)):
                place, kind = Path(folder, f"{turn}"), kinds[name]
                never, killed = (Killed(place / which, kind.words) for which in ("straight", "killed"))
                with disk(place) if kind.on_small_disk else contextlib.nullcontext(), cleaned_up(never, killed):
                    if name not in straight:
                        straight[name] = never_killed(never, kind)
                    one_run(killed, name, *straight[name], draw, counts[name])
                if sum(count["kills"] for count in counts.values()) >= given.kills:
                    break
    finally:
        show(counts)
    return int(any(count["different"] + count["left behind"] for count in counts.values()))


def one_run(
    run: Killed, name: str, expected: list[Any], seconds: float, draw: random.Random, count: Counter[str]
) -> None:
    """Kills a run, resumes it, compares the result and counts. seconds: the duration of an uninterrupted run."""
    kind = KINDS[name]
    moments = kill(run, kind, seconds, draw, count)
    code, output = run.finish(*run.resume_words())
    left_behind(run, count)
    different = [*differences(run.results(), expected, kind.lost)]
    if code != kind.exit_code and "budget is spent" not in output:  # the run was complete
        different.append(f"exit code {code}: {output}")
    count["different" if different else "same"] += 1
    print("DIFFERENT" if different else "same", f" {name}, killed: {', '.join(moments)}", flush=True)
    print(*different, sep="\n", end="\n" if different else "", flush=True)


def never_killed(run: Killed, kind: Kind) -> tuple[list[Any], float]:
    """The result of an uninterrupted run, and its duration in seconds."""
    started = time.monotonic()
    code, output = run.finish()
    assert code == kind.exit_code, output
    found = run.results(), time.monotonic() - started
    shutil.rmtree(run.folder)
    return found


def kill(run: Killed, kind: Kind, seconds: float, draw: random.Random, count: Counter[str]) -> list[str]:
    """Starts and kills a run a few times. Returns what was killed, and when."""
    moments = []
    for _ in range(KILLS_OF_A_RUN):
        process, end = kind.start(run, *run.resume_words())
        started = time.monotonic()
        with kind.moment(run, seconds, draw):
            living = run.processes()
            if end is not None:
                end()
                count["kills"] += 1
                moments.append(f"after {time.monotonic() - started:.1f} s")
            elif living:
                # one of them, or all at once, as when the machine goes down
                victims = living if draw.random() < 0.2 else [draw.choice(living)]
                for victim in victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
                count["kills"] += 1
                moments.append(f"{len(victims)} of {len(living)} after {time.monotonic() - started:.1f} s")
            process.communicate(timeout=240)
            left_behind(run, count)
    return moments


def left_behind(run: Killed, count: Counter[str]) -> None:
    if not run.all_gone(timeout=20):
        count["left behind"] += len(run.processes())
        print("LEFT BEHIND", *(Path(f"/proc/{left}/cmdline").read_text() for left in run.processes()), flush=True)
        run.clean_up()


@contextlib.contextmanager
def cleaned_up(*runs: Killed) -> Iterator[None]:
    """Removes the processes and the files of `runs` at the end, also after an exception."""
    try:
        yield
    finally:
        for run in runs:
            run.clean_up()
            shutil.rmtree(run.folder, ignore_errors=True)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Mounts a small file system in memory at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def may_mount(folder: Path) -> bool:
    try:
        with disk(folder / "probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def differences(found: list[Any], expected: list[Any], lost: tuple[str, ...]) -> Iterator[str]:
    if len(found) != len(expected):
        yield f"{len(found)} runs and rows of the table, not {len(expected)}"
    for one, other in zip(found, expected, strict=False):
        yield from (
            f"{key}: {one.get(key)}, not {other[key]}"
            for key in other
            if one.get(key) != other[key] and key not in lost
        )


def show(counts: dict[str, Counter[str]]) -> None:
    columns = ("kills", "same", "different", "left behind")
    table = Table("kind", *columns)
    for name, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        table.add_row(name, *(str(count[column]) for column in columns))
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
