"""Environment variables of a worker: safe imports, and its speed. No torch."""

import time
from collections.abc import Mapping, Sequence

from genimg.common.hardware import count_cores, cpu_times

#: Makes glibc's malloc keep the memory that it got from the system. By default it maps each large tensor again, and the
#: system clears every page of it first: at 256 x 256 a million pages, 1.1 of 2.7 seconds in each step (mallopt(3),
#: M_MMAP_MAX and M_TRIM_THRESHOLD; the latter is an int). Other allocators ignore these variables.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}

SPIN = "3000000"  # turns before a thread sleeps, some milliseconds: longer than between any two loops of a step
_IDLE = 0.8  # share of a machine that counts as idle


def worker_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Returns `given` and the variables for OpenMP and malloc that it does not set itself.

    PYTHONSAFEPATH keeps the working folder off the import path of the Python processes that a worker starts.
    """
    threads: dict[str, str] = {}
    if "OMP_WAIT_POLICY" not in given and given.get("OMP_NUM_THREADS") != "1":  # one thread waits for no other
        threads = openmp(idle_share(*_measure_cpu_times()), count_cores())
    if "OMP_NUM_THREADS" in given:
        threads.pop("GENIMG_BUSY", None)
    tuned = any(name.startswith(("MALLOC_MMAP_", "MALLOC_TRIM_", "MALLOC_TOP_")) for name in given)
    tuned = tuned or "glibc.malloc." in given.get("GLIBC_TUNABLES", "")
    return {**({} if tuned else KEEP_MEMORY), **threads, **given, "PYTHONSAFEPATH": "1"}


def openmp(idle: float, cores: int) -> dict[str, str]:
    """The variables of OpenMP for a machine of which the share `idle` is free.

    Between two parallel loops the threads spin (ACTIVE), which is a third faster than sleep (PASSIVE) if each has a
    core; for some milliseconds only, because a run may use fewer of them later. Threads that share a core with other
    work wait for each other: beside one busy process on two cores, the GAN on digits trains at 56 images/s with two
    threads and at 850 with one. So there are as many threads as idle cores.
    GENIMG_BUSY tells the worker, which logs it, that their number is not the user's.
    """
    if idle >= _IDLE:
        return {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": SPIN}
    return {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(max(1, int(idle * cores))), "GENIMG_BUSY": "1"}


def idle_share(before: Sequence[int], after: Sequence[int]) -> float:
    """The share of the time of all cores between two readings of /proc/stat that nothing used; 1 if they are empty."""
    spent = [now - then for now, then in zip(after, before, strict=True)]
    return (spent[3] + spent[4]) / sum(spent) if any(spent) else 1.0  # idle and iowait


def _measure_cpu_times(seconds: float = 0.25) -> tuple[list[int], list[int]]:
    try:
        before = cpu_times()
        time.sleep(seconds)
        return before, cpu_times()
    except OSError:  # not Linux
        return [], []
