"""The hardware of this machine, without torch."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from pathlib import Path

from genimg.common.errors import UserError


def count_gpus() -> int:
    """Returns the number of NVIDIA GPUs that a new process would see, as torch.cuda counts them: 0 on Apple silicon."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _count_installed_gpus()
    if visible is None or present == 0:
        return present
    names = [name.strip() for name in visible.split(",")]
    # CUDA stops reading at the first invalid entry
    valid = next((index for index, name in enumerate(names) if name in ("", "-1")), len(names))
    return min(valid, present)


def count_cores() -> int:
    """Returns the CPU cores that this process may use: in a container or under taskset fewer than the machine has."""
    return max(1, math.ceil(min(_affinity(), cpu_quota())))


def cpu_quota(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    """Returns how many cores the limit of a container is worth, a number such as 1.5; infinity without one."""
    try:
        quota, period = limit.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no container, or one without a limit ("max")
        return math.inf


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def count_threads() -> int:
    """Returns the threads of a computation: the cores, or fewer if OMP_NUM_THREADS says so.

    torchrun sets OMP_NUM_THREADS to 1 if it is not set; that 1 is ignored.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is for nested loops
    if not given.isdecimal() or given == "0" or (given == "1" and "TORCHELASTIC_RUN_ID" in os.environ):
        return count_cores()
    return min(int(given), count_cores())


def cpu_times(stat: Path = Path("/proc/stat")) -> list[int]:
    """Returns the clock ticks since boot of the cores that this process may use: user, nice, system, idle, iowait, ...

    See proc_stat(5). Raises OSError on other systems than Linux.
    """
    lines = [line.split() for line in stat.read_text().splitlines()]
    found = {words[0]: [int(ticks) for ticks in words[1:9]] for words in lines if words and words[0].startswith("cpu")}
    allowed = [f"cpu{core}" for core in os.sched_getaffinity(0)] if hasattr(os, "sched_getaffinity") else ["cpu"]
    if not found.keys() >= set(allowed):  # a container may number its cores from 0, and the line `cpu` is all of them
        return found["cpu"]
    return [sum(ticks) for ticks in zip(*(found[name] for name in allowed), strict=True)]


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Returns the bytes that a new process can use without swapping; None if the system does not say.

    In a container it is the limit of the container, if that is smaller.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):  # not Linux
        return None
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return min(free, max(0, limit - used))


def require_memory(needed: float, available: int | None, key: str, what: str, hint: str) -> None:
    """Raises UserError if more bytes are needed than available; None = not known, and nothing is required.

    what: the value of the message; {} stands for the size.
    """
    if available is not None and needed > available:
        expected = f"at most the {available / 2**30:,.1f} GB that are free on this machine"
        raise UserError(key, what.format(f"{needed / 2**30:,.1f} GB"), expected, hint)


def _count_installed_gpus() -> int:
    driver = Path("/proc/driver/nvidia/gpus")
    if driver.is_dir():
        return len(list(driver.iterdir()))
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        output = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in output.splitlines())
