"""Rank and world size of this process, as torchrun or srun passes them in the environment. No torch."""

from __future__ import annotations

import os

from genimg.common.errors import UserError

# the variable that identifies a launcher: (its name, world size, rank, local rank)
_LAUNCHERS = {
    "TORCHELASTIC_RUN_ID": ("torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK"),
    "SLURM_STEP_NUM_TASKS": ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
}


def is_distributed() -> bool:
    """Whether torchrun, srun or this project's own launch started this process as one of several of a run."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _slurm_tasks() > 1


def check() -> None:
    """Raises UserError if a launcher's variables are incomplete or contradict each other."""
    mark = next((name for name in _LAUNCHERS if name in os.environ), None)
    if mark is None or (mark == "SLURM_STEP_NUM_TASKS" and os.environ[mark] in ("0", "1")):  # one task is one process
        return
    launcher, size, *ranks = _LAUNCHERS[mark]
    origin, hint = f"as {launcher} sets it in the environment", f"unset {mark} to run a single process"
    for name in (size, *ranks):
        if not os.environ.get(name, "").isdecimal():
            raise UserError(name, os.environ.get(name) or None, f"a non-negative integer, {origin}", hint)
    for name in ranks:
        if int(os.environ[name]) >= int(os.environ[size]):
            raise UserError(name, os.environ[name], f"less than {size}={os.environ[size]}, {origin}", hint)


def rank() -> int:
    """Returns the global rank. Rank 0 logs, writes and evaluates; a single process has rank 0."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) if is_distributed() else 0


def world_size() -> int:
    """Returns the number of processes on all machines."""
    return int(os.environ.get("WORLD_SIZE", _slurm_tasks())) if is_distributed() else 1


def restarts() -> int:
    """Returns how often torchrun's agent has restarted this group."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def max_restarts() -> int:
    """Returns how often the agent may restart it; 0 without an agent."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))


def has_agent_store() -> bool:
    """Whether an agent holds the rendezvous store. Otherwise rank 0 does, and the store ends with it."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _slurm_tasks() -> int:
    """Returns the tasks of the srun step; 0 outside a step, also in a batch script, which only has an allocation."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "0"))
