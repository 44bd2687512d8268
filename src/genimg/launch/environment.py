"""What a worker finds in its environment so that it computes at full speed; none of it changes a result. Torch-free."""

import time
from collections.abc import Mapping
from pathlib import Path

#: glibc's malloc keeps what it once got from the system. By itself it maps each larger tensor anew and gives it back,
#: and the system clears every page of it first: at 256 x 256 a million pages and 1.1 of 2.7 seconds in each step
#: (mallopt(3), M_MMAP_MAX and M_TRIM_THRESHOLD; the latter is an int). Other allocators do not read these.
KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


def worker_environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given` with what it does not itself set of how threads wait and how memory is kept."""
    wait = how_threads_wait()
    busy = {"GENIMG_BUSY": "1"} if wait == "PASSIVE" else {}  # for the worker to say
    tuned = any(name.startswith(("MALLOC_MMAP_", "MALLOC_TRIM_", "MALLOC_TOP_")) for name in given)
    tuned = tuned or "glibc.malloc." in given.get("GLIBC_TUNABLES", "")
    return {"OMP_WAIT_POLICY": wait, **({} if tuned else KEEPS_MEMORY), **given, **busy}


def how_threads_wait(stat: Path = Path("/proc/stat"), seconds: float = 0.1) -> str:
    """ACTIVE on an idle machine, PASSIVE beside other work.

    Between two parallel loops OpenMP's threads spin, which is a third faster than sleep as long as each has a core.
    Where they share one, the spinning takes the time of the thread it waits for: one busy neighbour on two cores makes
    training 5 to 20 times slower than with sleep. So the machine is asked for its idle time first.
    """
    try:
        before = _cpu_times(stat)
        time.sleep(seconds)
        spent = [now - then for now, then in zip(_cpu_times(stat), before, strict=True)]
    except OSError:  # not Linux
        return "ACTIVE"
    idle = spent[3] + spent[4]  # idle and waiting for the disk (proc_stat(5))
    return "ACTIVE" if idle >= 0.8 * sum(spent) else "PASSIVE"


def _cpu_times(stat: Path) -> list[int]:
    """Ticks of all cores together since the start of the machine, by kind."""
    return [int(ticks) for ticks in stat.read_text().splitlines()[0].split()[1:9]]
