"""The processes of a run on several devices, started and watched by torchrun's elastic agent.

    python -m genimg.agent RUN/config.yaml

A process of its own beside the command, because the agent imports torch. Exit codes: the run's, which its workers
leave in the control folder; 1 where one of them died.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genimg.processes import Control, as_parent, end_with_parent, parent

# after one process has died the others wait for it in vain: there is nothing left to save
SECONDS_TO_END = 5


def main(config_path: str) -> int:
    """Runs `python -m genimg.worker config_path` once for each device of this machine."""
    end_with_parent(signal.SIGTERM, parent())
    os.environ.update(as_parent())
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # the agent's own notes on every death: ours is one sentence
    config = OmegaConf.load(config_path)
    assert isinstance(config, DictConfig)
    control = Control.of_environment()
    assert control is not None
    settings = LaunchConfig(
        min_nodes=config.trainer.num_nodes,
        max_nodes=config.trainer.num_nodes,
        nproc_per_node=config.trainer.devices,
        max_restarts=config.launch.max_restarts,
        shutdown_timeout=SECONDS_TO_END,
        logs_specs=DefaultLogsSpecs(log_dir=str(control.path)),  # its own place would stay after the run
        **_meeting(config),
    )
    try:
        elastic_launch(settings, sys.executable)("-m", "genimg.worker", config_path)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        asked = control.asked_to_stop()
        # the exit code of a worker that heard of the signal, or the signal itself, where it did not train (any more)
        if asked is not None and failure.exitcode in (asked, 128 - asked):
            return asked
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f"error: the process of rank {rank} was killed by {name}; the run ends with it", file=sys.stderr)
        elif control.speaks(config.launch.max_restarts):  # nobody has said why
            print(f"error: the process of rank {rank} ended with exit code {failure.exitcode}", file=sys.stderr)
        return control.exit_code() or 1
    return control.exit_code() or 0


def _meeting(config: DictConfig) -> dict[str, Any]:
    """Where the machines of a run meet: a port of its own for one, launch.rdzv_endpoint for several."""
    if config.trainer.num_nodes == 1:
        meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
        return {**meeting, "run_id": uuid.uuid4().hex}
    return {
        "rdzv_backend": "static",
        "run_id": "genimg",  # the same on every machine
        "rdzv_endpoint": config.launch.rdzv_endpoint,
        "rdzv_configs": {"rank": config.launch.node_rank, "timeout": 900},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
