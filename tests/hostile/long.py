"""Runs many hostile cases and prints those that break a law: python -m tests.hostile.long --cases 2000.

A single case: python -m tests.hostile.long --case "run_config 17". The folder of a case that breaks a law is kept.
"""

from __future__ import annotations

import argparse
import collections
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.hostile import valid as artefacts
from tests.hostile.cases import FAMILIES, run_cases
from tests.hostile.sandbox import preload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--family", choices=list(FAMILIES), action="append")
    parser.add_argument("--case", help="one case: its family and seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    families = options.family or list(FAMILIES)
    cases = [(families[n % len(families)], options.first + n // len(families)) for n in range(options.cases)]
    if options.case:
        name, seed = options.case.split()
        cases = [(name, int(seed))]
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    preload()
    valid = artefacts.make(folder / "valid")
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    for result in run_cases(cases, valid, folder, options.processes):
        counts[f"exit {result.outcome.code}"] += 1
        slowest = max(slowest, result.outcome.seconds)
        if result.broken:
            counts["broken"] += 1
            print(result, flush=True)
        if options.case:
            print(result.outcome.out, result.outcome.err, sep="\n")
    print(dict(counts), f"slowest {slowest:.1f} s", f"broken cases in {folder}" if counts["broken"] else "")
    if not counts["broken"]:
        shutil.rmtree(folder, ignore_errors=True)
    return int(counts["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
