"""Seeds as a list with ranges: [1, 5, "9-12"]. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence

LARGEST_SEED = 2**32 - 1
MOST_SEEDS = 100_000  # in one list: "0-4294967295" would take 100 GB


def read_seeds(given: Sequence[int | str]) -> tuple[int, ...]:
    """Returns the seeds of a list in order; `"9-12"` stands for 9, 10, 11 and 12.

    >>> read_seeds([1, 5, "9-12"])
    (1, 5, 9, 10, 11, 12)

    Raises:
        ValueError: if an entry is neither a seed nor a range, a seed is repeated or too large, or there are no seeds or
            more than `MOST_SEEDS`.
    """
    ranges = [_range(one) for one in given]
    if not 1 <= sum(map(len, ranges)) <= MOST_SEEDS:
        raise ValueError(f"1 to {MOST_SEEDS:,} seeds")
    seeds = tuple(seed for one in ranges for seed in one)
    if len(set(seeds)) < len(seeds):
        raise ValueError("each seed once")
    return seeds


def _range(entry: int | str) -> range:
    found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", str(entry), re.ASCII)
    if found is None or isinstance(entry, bool):
        raise ValueError("seeds and ranges of seeds")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= LARGEST_SEED:
        raise ValueError(f"ranges of seeds from 0 to {LARGEST_SEED}")
    return range(first, last + 1)
