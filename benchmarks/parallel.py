"""Several processes on this machine: the GAN by one all-reduce a backward pass, against torch's wrapper.

    python benchmarks/parallel.py                      # two processes on the processor
    python benchmarks/parallel.py --data digits --rounds 5

Two ways take turns, each in fresh processes, a thread each:

    averaged   ours: the gradients that are there, averaged in one message after each backward pass
    wrapper    DistributedDataParallel(find_unused_parameters=True), which searches the graph of each pass

Printed are images a second of all processes together, and the ratio round by round.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from typing import Any, cast

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

STEPS = 50


def one_process(way: str, data_name: str, processes: int) -> None:
    """What each process runs; the first prints images a second."""
    import torch
    from pytorch_lightning.strategies import DDPStrategy

    from genimg.config.resolvers import register
    from genimg.machine import choose
    from genimg.parallel import AveragedGradients, highest, join
    from genimg.ranks import rank
    from genimg.tasks import setting_up
    from genimg.tasks.dry_run import StepTimer

    class Wrapper(AveragedGradients):
        configure_ddp, post_backward = DDPStrategy.configure_ddp, DDPStrategy.post_backward

        def __init__(self) -> None:
            super().__init__(find_unused_parameters=True)

    register()
    with initialize_config_module("genimg.configs", version_base="1.3"):
        words = ["model=gan", f"data={data_name}", "budget.images=1000000", "trainer=cpu", "trainer.threads=1"]
        composed = compose("train", [*words, f"trainer.devices={processes}"])
    config = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    if way == "wrapper":
        setting_up.AveragedGradients = Wrapper  # pyright: ignore[reportPrivateImportUsage]
    machine = choose(config["trainer"])
    join(torch.device("cpu"))
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        config |= {"callbacks": {}, "logger": {}, "run_dir": run_dir}
        data, model = setting_up.prepare(config, machine, None)
        timer = StepTimer(STEPS)
        trainer = setting_up.make_trainer(config, machine, data, None, timer)
        trainer.fit(model, datamodule=data)
        (seconds,) = highest(trainer, [timer.seconds])
        if rank() == 0:
            print("images/s", STEPS * data.batch_size / seconds)


def together(way: str, data_name: str, processes: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "benchmark", "GROUP_RANK": "0"}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--way", way, "--data", data_name, "--processes", str(processes)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(r), "LOCAL_RANK": str(r)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for r in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    return float(said[0].rpartition("images/s")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--way", choices=["averaged", "wrapper"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        one_process(given.way, given.data, given.processes)
        return
    rounds = [
        tuple(together(way, given.data, given.processes) for way in ("averaged", "wrapper"))
        for _ in range(given.rounds)
    ]
    averaged, wrapper = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"gan on {given.data}, {given.processes} processes, a thread each")
    print(f"  images/s: averaged {averaged:,.0f}, wrapper {wrapper:,.0f}")
    print(f"  averaged / wrapper {statistics.median(a / w for a, w in rounds):.2f}")


if __name__ == "__main__":
    main()
