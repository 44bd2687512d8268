"""Which of the processes of a run this one is, by what its launcher left in the environment. Torch-free."""

from __future__ import annotations

import os


def is_one_of_several() -> bool:
    """Whether torchrun, srun or this project's own launch started this process beside others of the same run."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _slurm_tasks() > 1


def rank() -> int:
    """0 for the process that speaks, writes and measures, which a process alone is too."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) if is_one_of_several() else 0


def restarts() -> int:
    """How often the agent has started this group anew after a death."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _slurm_tasks() -> int:
    """Of the step that srun started; 0 outside one, in a batch script too, whose allocation is only announced."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "0"))
