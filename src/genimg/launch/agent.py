"""Starts and watches the processes of a run on several devices, with torchrun's elastic agent.

    python -P -m genimg.launch.agent RUN/config.yaml

The agent is a process beside the command because it imports torch. Its exit code is that of the run, which the workers
leave in the group's files, or 1 if one of them died.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genimg.common import processes
from genimg.common.display import protect_standard_streams
from genimg.common.processes import ProcessGroupFiles, end_with_parent
from genimg.common.run_folder import RunFolder
from genimg.common.text import printable, printable_line

# once one process has died the others have nothing to save. torch before `LaunchConfig.shutdown_timeout` waits 30 s
SHUTDOWN_TIMEOUT = 5
RUN_ID = "genimg"  # the same on every machine


def main(config_path: str) -> int:
    """Runs `python -P -m genimg.launch.worker config_path` once for each device of this machine."""
    protect_standard_streams()
    command = processes.parent_pid()
    end_with_parent(signal.SIGTERM, command)
    os.environ.update(processes.parent_environment())
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would wait for torch, and torch for machines
    processes.unblock_interrupts()
    config = OmegaConf.load(config_path)
    assert isinstance(config, DictConfig)
    files = ProcessGroupFiles.from_environment()
    assert files is not None
    try:
        return _run(config, config_path, files)
    finally:
        if command is not None and os.getppid() != command:  # the command was killed and cannot remove its folder
            shutil.rmtree(files.path, ignore_errors=True)


def _run(config: DictConfig, config_path: str, files: ProcessGroupFiles) -> int:
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # the agent's log of every death: one sentence is printed instead
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(SHUTDOWN_TIMEOUT)
    settings = LaunchConfig(
        min_nodes=config.trainer.num_nodes,
        max_nodes=config.trainer.num_nodes,
        nproc_per_node=config.trainer.devices,
        max_restarts=config.launch.max_restarts,
        logs_specs=DefaultLogsSpecs(log_dir=str(files.path)),  # the default folder would remain after the run
        **_rendezvous_settings(config),
    )
    try:
        elastic_launch(settings, sys.executable)("-P", "-m", "genimg.launch.worker", config_path)
        return files.exit_code() or 0
    except SignalException as error:
        exit_code = 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        log = RunFolder(Path(config.run_dir)).log_of(rank) if config.run_dir else None
        exit_code = failed_exit_code(files, rank, failure.exitcode, config.launch.max_restarts, log)
    except DistError as error:
        exit_code = files.requested_stop() or files.exit_code() or 0
        if not exit_code:
            first = "the first machine of the run has ended, or does not answer at"
            who = first if config.launch.node_rank > 0 else "another machine of the run does not connect to"
            why = str(error).splitlines()[0]
            print(f"error: {who} {config.launch.rdzv_endpoint}: {printable_line(why)}", file=sys.stderr)
            exit_code = 1
    if config.launch.node_rank > 0:  # the first machine's agent keeps the store
        from genimg.distributed.rendezvous import announce_machine_end

        announce_machine_end(config.launch.rdzv_endpoint, RUN_ID, config.trainer.num_nodes)
    return exit_code


def failed_exit_code(files: ProcessGroupFiles, rank: int, exit_code: int, attempt: int, log: Path | None) -> int:
    """Returns the exit code of a run whose process `rank` has failed, and prints the reason if no worker has.

    exit_code: of that process; negative for a signal. log: its log file. attempt: the restarts before.
    """
    stop = files.requested_stop()
    # a worker handles the signal while it trains; before and after, the signal ends it
    if stop is not None and exit_code in (stop, 128 - stop):
        return stop
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        print(f"error: the process of rank {rank} was killed by {name}; the run ends with it", file=sys.stderr)
    elif files.exit_code() is None and files.claim_failure(attempt):
        see = f"; see {printable(str(log))}" if log is not None and log.is_file() else ""
        print(f"error: the process of rank {rank} ended with exit code {exit_code}{see}", file=sys.stderr)
    return files.exit_code() or 1


def _rendezvous_settings(config: DictConfig) -> dict[str, Any]:
    """Returns the rendezvous of the agents: a free port on one machine, launch.rdzv_endpoint on several."""
    if config.trainer.num_nodes == 1:
        local = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
        return {**local, "run_id": uuid.uuid4().hex}
    return {
        "rdzv_backend": "static",
        "run_id": RUN_ID,
        "rdzv_endpoint": config.launch.rdzv_endpoint,
        "rdzv_configs": {"rank": config.launch.node_rank, "timeout": 900},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
