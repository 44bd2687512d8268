"""Which of the processes of a run this one is, by what its launcher left in the environment. Torch-free."""

from __future__ import annotations

import os

from genimg.common.errors import UserError

# what a launcher is known by and what it leaves: its name, how many there are, which this one is, and on its machine
_LEFT = {
    "TORCHELASTIC_RUN_ID": ("torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK"),
    "SLURM_STEP_NUM_TASKS": ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
}


def is_one_of_several() -> bool:
    """Whether torchrun, srun or this project's own launch started this process beside others of the same run."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _slurm_tasks() > 1


def check() -> None:
    """UserError where the environment is a launcher's of several, and lacks a part of what it leaves or cannot be."""
    mark = next((name for name in _LEFT if name in os.environ), None)
    if mark is None or (mark == "SLURM_STEP_NUM_TASKS" and os.environ[mark] in ("0", "1")):  # one task is alone
        return
    launcher, number, *places = _LEFT[mark]
    left, alone = f"as {launcher} leaves it in the environment", f"unset {mark}, to run alone"
    for name in (number, *places):
        if not os.environ.get(name, "").isdecimal():
            raise UserError(name, os.environ.get(name) or None, f"a whole number, {left}", alone)
    for name in places:
        if int(os.environ[name]) >= int(os.environ[number]):
            raise UserError(name, os.environ[name], f"less than {number}={os.environ[number]}, {left}", alone)


def rank() -> int:
    """0 for the process that speaks, writes and measures, which a process alone is too."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) if is_one_of_several() else 0


def processes() -> int:
    """How many of them the launcher has started, on all machines together."""
    return int(os.environ.get("WORLD_SIZE", _slurm_tasks())) if is_one_of_several() else 1


def restarts() -> int:
    """How often the agent has started this group anew after a death."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def max_restarts() -> int:
    """How often it does so at most; 0 where there is no agent."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))


def may_meet_again() -> bool:
    """Whether this is a group of several machines, each with an agent that would start its processes anew.

    The first one's then keeps what they meet at.
    """
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    return max_restarts() > 0 and machines > 1 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _slurm_tasks() -> int:
    """Of the step that srun started; 0 outside one, in a batch script too, whose allocation is only announced."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "0"))
