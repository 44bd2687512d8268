"""Runs many hostile cases and prints those that break a law: python -m tests.hostile.long --cases 2000.

A single case: python -m tests.hostile.long --case "run_config 17". It prints the folder, which is kept.
"""

from __future__ import annotations

import argparse
import collections
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from tests.hostile import valid as artefacts
from tests.hostile.cases import FAMILIES, run_case
from tests.hostile.sandbox import preload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--family", choices=list(FAMILIES), action="append")
    parser.add_argument("--case", help="one case: its family and seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    families = options.family or list(FAMILIES)
    cases = [(families[n % len(families)], options.first + n // len(families)) for n in range(options.cases)]
    if options.case:
        name, seed = options.case.split()
        cases = [(name, int(seed))]
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    artefacts.make(folder / "valid")
    preload()
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    for family, seed in cases:
        case = folder / f"{family}-{seed}"
        words, outcome, broken = run_case(family, seed, folder / "valid", case)
        counts[f"exit {outcome.code}"] += 1
        slowest = max(slowest, outcome.seconds)
        if broken:
            counts["broken"] += 1
            lines = outcome.err.strip().splitlines()[-3:]
            print(f"{family} {seed}: {'; '.join(broken)}\n   genimg {' '.join(words)[:200]!r}", *lines, sep="\n   ")
        if options.case:
            print(outcome.out, outcome.err, case, sep="\n")
        else:
            shutil.rmtree(case, ignore_errors=True)
    print(dict(counts), f"slowest {slowest:.1f} s")
    if not options.case:
        shutil.rmtree(folder, ignore_errors=True)
    return int(counts["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
