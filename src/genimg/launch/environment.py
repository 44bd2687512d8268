"""Environment variables of a worker: safe imports, and its speed. No torch."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Makes glibc's malloc keep the memory that it got from the system. By default it maps each large tensor again, and the
#: system clears every page of it first: at 256 x 256 a million pages, 1.1 of 2.7 seconds in each step (mallopt(3),
#: M_MMAP_MAX and M_TRIM_THRESHOLD; the latter is an int). Other allocators ignore these variables.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


def worker_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Returns `given` and the variables for OpenMP and malloc that it does not set itself.

    PYTHONSAFEPATH keeps the working folder off the import path of the Python processes that a worker starts.
    """
    policy = given.get("OMP_WAIT_POLICY") or wait_policy(*_measure_cpu_times())
    busy = {"GENIMG_BUSY": "1"} if policy == "PASSIVE" and "OMP_WAIT_POLICY" not in given else {}  # the worker logs it
    tuned = any(name.startswith(("MALLOC_MMAP_", "MALLOC_TRIM_", "MALLOC_TOP_")) for name in given)
    tuned = tuned or "glibc.malloc." in given.get("GLIBC_TUNABLES", "")
    return {"OMP_WAIT_POLICY": policy, **({} if tuned else KEEP_MEMORY), **given, **busy, "PYTHONSAFEPATH": "1"}


def wait_policy(before: Sequence[int], after: Sequence[int]) -> str:
    """Returns ACTIVE for an idle machine, PASSIVE if other programs use it.

    Between two parallel loops OpenMP threads spin (ACTIVE), which is a third faster than sleep if each thread has a
    core. If threads share a core, spinning takes the time of the thread that is waited for: one busy process on two
    cores makes training 5 to 20 times slower than with sleep (PASSIVE).

    before, after: two readings of the CPU times in /proc/stat; empty if unknown.
    """
    spent = [now - then for now, then in zip(after, before, strict=True)]
    return "ACTIVE" if not spent or spent[3] + spent[4] >= 0.8 * sum(spent) else "PASSIVE"  # idle and iowait


def _measure_cpu_times(seconds: float = 0.1) -> tuple[list[int], list[int]]:
    try:
        before = cpu_times()
        time.sleep(seconds)
        return before, cpu_times()
    except OSError:  # not Linux
        return [], []


def cpu_times(stat: Path = Path("/proc/stat")) -> list[int]:
    """Returns the clock ticks of all cores since boot: user, nice, system, idle, iowait, ... (proc_stat(5))."""
    return [int(ticks) for ticks in stat.read_text().splitlines()[0].split()[1:9]]
