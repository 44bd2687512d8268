"""What the machine has, asked without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def count_gpus() -> int:
    """NVIDIA GPUs that a process started now would see: what torch.cuda finds, so none on Apple silicon."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _count_present()
    if visible is None or present == 0:
        return present
    named = [name.strip() for name in visible.split(",")]
    # CUDA stops reading at the first entry that is no device
    valid = next((index for index, name in enumerate(named) if name in ("", "-1")), len(named))
    return min(valid, present)


def count_cores() -> int:
    """CPU cores this process may use, which in a container or under taskset are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def count_threads() -> int:
    """Threads that a computation may take: the cores, or fewer where OMP_NUM_THREADS says so.

    torchrun sets it to 1 where nobody has: that 1 is not counted.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is of nested loops
    if not asked.isdecimal() or asked == "0" or (asked == "1" and "TORCHELASTIC_RUN_ID" in os.environ):
        return count_cores()
    return min(int(asked), count_cores())


def _count_present() -> int:
    listed = Path("/proc/driver/nvidia/gpus")
    if listed.is_dir():
        return len(list(listed.iterdir()))
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines())
