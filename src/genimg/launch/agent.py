"""The processes of a run on several devices, started and watched by torchrun's elastic agent.

    python -m genimg.launch.agent RUN/config.yaml

A process of its own beside the command, because the agent imports torch. Exit codes: the run's, which its workers
leave in the control folder; 1 where one of them died.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from genimg.common.processes import Control, as_parent, end_with_parent, hear_interrupts, parent
from genimg.common.run_folder import RunFolder

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# after one process has died the others wait for it in vain: there is nothing left to save. A torch that has no such
# setting kills them after 30 seconds
SECONDS_TO_END = 5
SECONDS_TO_PART = 60  # how long an agent whose workers are done waits for the other machines' agents
RUN_ID = "genimg"  # the same on every machine


def main(config_path: str) -> int:
    """Runs `python -m genimg.launch.worker config_path` once for each device of this machine."""
    command = parent()
    end_with_parent(signal.SIGTERM, command)
    os.environ.update(as_parent())
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's waits for torch, which waits for the other machines
    hear_interrupts()
    config = OmegaConf.load(config_path)
    assert isinstance(config, DictConfig)
    control = Control.of_environment()
    assert control is not None
    try:
        return _run(config, config_path, control)
    finally:
        if command is not None and os.getppid() != command:  # it was killed, and cannot remove it
            shutil.rmtree(control.path, ignore_errors=True)


def _run(config: DictConfig, config_path: str, control: Control) -> int:
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import api

    logging.disable(logging.ERROR)  # the agent's own notes on every death: ours is one sentence
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(SECONDS_TO_END)  # no argument: only a new LaunchConfig has it
    settings = api.LaunchConfig(
        min_nodes=config.trainer.num_nodes,
        max_nodes=config.trainer.num_nodes,
        nproc_per_node=config.trainer.devices,
        max_restarts=config.launch.max_restarts,
        logs_specs=DefaultLogsSpecs(log_dir=str(control.path)),  # its own place would stay after the run
        **_meeting(config),
    )
    # LaunchConfig has no such setting
    api.LocalElasticAgent = partial(api.LocalElasticAgent, exit_barrier_timeout=SECONDS_TO_PART)  # pyright: ignore
    try:
        api.elastic_launch(settings, sys.executable)("-m", "genimg.launch.worker", config_path)
        return control.exit_code() or 0
    except SignalException as error:
        exit_code = 128 + int(error.sigval)
    except ChildFailedError as error:
        exit_code = _failed(control, config, *error.get_first_failure())
    except DistError as error:
        exit_code = _lost(control, config, error)
    if config.launch.node_rank > 0:  # without the first machine's agent there is nobody to tell
        from genimg.distributed.rendezvous import say_goodbye

        say_goodbye(config.launch.rdzv_endpoint, RUN_ID, config.trainer.num_nodes)
    return exit_code


def _failed(control: Control, config: DictConfig, rank: int, failure: ProcessFailure) -> int:
    """The exit code of a run whose process of this rank has failed, and is not started anew; says why if none has."""
    asked = control.asked_to_stop()
    # the exit code of a worker that heard of the signal, or the signal itself, where it did not train (any more)
    if asked is not None and failure.exitcode in (asked, 128 - asked):
        return asked
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        print(f"error: the process of rank {rank} was killed by {name}; the run ends with it", file=sys.stderr)
    elif control.exit_code() is None and control.speaks(config.launch.max_restarts):  # nobody has said why
        log = RunFolder(Path(config.run_dir)).log_of(rank) if config.run_dir else None
        said = f"; what it had to say lies in {log}" if log is not None and log.is_file() else ""
        print(f"error: the process of rank {rank} ended with exit code {failure.exitcode}{said}", file=sys.stderr)
    return control.exit_code() or 1


def _lost(control: Control, config: DictConfig, error: Exception) -> int:
    """The exit code of a run whose machines do not meet, or no longer."""
    asked, known = control.asked_to_stop(), control.exit_code()
    if asked is None and known is None:
        where, why = config.launch.rdzv_endpoint, str(error).splitlines()[0]
        print(f"error: the machines of the run do not meet at {where}, or no longer: {why}", file=sys.stderr)
    return asked or known or 1


def _meeting(config: DictConfig) -> dict[str, Any]:
    """Where the machines of a run meet: a port of its own for one, launch.rdzv_endpoint for several."""
    if config.trainer.num_nodes == 1:
        meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
        return {**meeting, "run_id": uuid.uuid4().hex}
    return {
        "rdzv_backend": "static",
        "run_id": RUN_ID,
        "rdzv_endpoint": config.launch.rdzv_endpoint,
        "rdzv_configs": {"rank": config.launch.node_rank, "timeout": 900},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
