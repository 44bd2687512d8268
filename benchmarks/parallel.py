"""Measures the cost of data-parallel training: several processes on this machine, with one thread each.

    python benchmarks/parallel.py                      # two processes on the CPU
    python benchmarks/parallel.py model=rnn --rounds 5

Two strategies take turns, each in new processes:

    averaged   trainer=ddp: one all-reduce of the existing gradients after each backward pass
    wrapper    DistributedDataParallel(find_unused_parameters=True), which searches the graph of each pass; it does not
               support the RNN, whose stored start images share memory

It prints the images per second of all processes, the median ratio over the rounds, and the peak memory of a process.
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
WAYS = ("averaged", "wrapper")


def one_process(way: str, words: list[str], processes: int) -> None:
    """Trains in each process. Rank 0 prints images per second and its peak memory in MB."""
    import torch
    from pytorch_lightning import Callback
    from pytorch_lightning.strategies import DDPStrategy

    from genimg.common.ranks import rank
    from genimg.config.resolvers import register
    from genimg.distributed.data_parallel import AveragedGradients, all_reduce_max, join
    from genimg.training import setup as setting_up
    from genimg.training.dry_run import StepTimer, peak_memory
    from genimg.training.machine import configure
    from genimg.training.settings import TrainSettings

    class Wrapper(AveragedGradients):
        configure_ddp, post_backward = DDPStrategy.configure_ddp, DDPStrategy.post_backward

        def __init__(self) -> None:
            super().__init__(find_unused_parameters=True)

    class Memory(Callback):
        def on_train_batch_start(self, *_: Any) -> None:  # before the checkpoint at the end
            self.peak = peak_memory(torch.device("cpu"))

    register()
    with initialize_config_module("genimg.configs", version_base="1.3"):
        ours = ["budget.images=1000000", "trainer=ddp", "trainer.accelerator=cpu"]
        composed = compose("train", [*words, *ours, "trainer.threads=1", f"trainer.devices={processes}"])
    config = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    if way == "wrapper":
        setting_up.AveragedGradients = Wrapper  # pyright: ignore[reportPrivateImportUsage]
    join(torch.device("cpu"))
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        settings = TrainSettings.from_config(config | {"callbacks": {}, "logger": {}, "run_dir": run_dir})
        timer = StepTimer(STEPS)
        memory = Memory()
        trainer, run = setting_up.build_run(settings, configure(settings.trainer), extra_callbacks=[timer, memory])
        trainer.fit(run.model, datamodule=run.data)
        (seconds,) = all_reduce_max(trainer, [timer.seconds])
        if rank() == 0:
            print("measured", STEPS * run.data.batch_size / seconds, memory.peak / 1e6)
    sys.stdout.flush()
    os._exit(0)  # without waiting for threads


def together(way: str, words: list[str], processes: int) -> tuple[float, float]:
    """Returns images per second, and MB."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "benchmark", "GROUP_RANK": "0"}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *words, "--way", way, "--processes", str(processes)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(r), "LOCAL_RANK": str(r)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for r in range(processes)
    ]
    output = [process.communicate()[0] for process in started]
    speed, memory = output[0].rpartition("measured")[2].split()
    return float(speed), float(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", default=["data=fashion_mnist"], help="overrides of the configuration: model=vae"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()
    if given.way:
        one_process(given.way, given.words, given.processes)
        return
    rounds = [{way: together(way, given.words, given.processes) for way in given.ways} for _ in range(given.rounds)]
    print(f"{' '.join(given.words)}, {given.processes} processes, one thread each")
    for way in given.ways:
        speed = statistics.median(one[way][0] for one in rounds)
        ratio = statistics.median(one[way][0] / one[given.ways[0]][0] for one in rounds)
        memory = statistics.median(one[way][1] for one in rounds)
        print(f"  {way:9} {speed:7,.0f} images/s, {ratio:.2f} of {given.ways[0]}; {memory:,.0f} MB per process")


if __name__ == "__main__":
    main()
