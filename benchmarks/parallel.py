"""Several processes on this machine, a thread each: what it costs them to train one model together.

    python benchmarks/parallel.py                      # two processes on the processor
    python benchmarks/parallel.py model=rnn --rounds 5

Two ways take turns, each in fresh processes:

    averaged   trainer=ddp: the gradients that are there, averaged in one message after each backward pass
    wrapper    DistributedDataParallel(find_unused_parameters=True), which searches the graph of each pass; it refuses
               the RNN, whose kept start images share memory

Printed are images a second of all processes together, their ratios round by round, and the most memory of a process.
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
    """What each process runs; the first prints images a second and its memory in MB."""
    import torch
    from pytorch_lightning import Callback
    from pytorch_lightning.strategies import DDPStrategy

    from genimg.common.ranks import rank
    from genimg.config.resolvers import register
    from genimg.distributed.data_parallel import AveragedGradients, highest, join
    from genimg.training import setup as setting_up
    from genimg.training.dry_run import StepTimer, peak_memory
    from genimg.training.machine import choose
    from genimg.training.settings import TrainSettings

    class Wrapper(AveragedGradients):
        configure_ddp, post_backward = DDPStrategy.configure_ddp, DDPStrategy.post_backward

        def __init__(self) -> None:
            super().__init__(find_unused_parameters=True)

    class Memory(Callback):
        def on_train_batch_start(self, *_: Any) -> None:  # at the end a checkpoint is put together
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
        trainer, run = setting_up.build_run(settings, choose(settings.trainer), extra_callbacks=[timer, memory])
        trainer.fit(run.model, datamodule=run.data)
        (seconds,) = highest(trainer, [timer.seconds])
        if rank() == 0:
            print("measured", STEPS * run.data.batch_size / seconds, memory.peak / 1e6)
    sys.stdout.flush()
    os._exit(0)  # as a worker ends


def together(way: str, words: list[str], processes: int) -> tuple[float, float]:
    """Images a second, and MB."""
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
    said = [process.communicate()[0] for process in started]
    speed, memory = said[0].rpartition("measured")[2].split()
    return float(speed), float(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", default=["data=fashion_mnist"], help="of the configuration: model=vae")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()
    if given.way:
        one_process(given.way, given.words, given.processes)
        return
    rounds = [{way: together(way, given.words, given.processes) for way in given.ways} for _ in range(given.rounds)]
    print(f"{' '.join(given.words)}, {given.processes} processes, a thread each")
    for way in given.ways:
        speed = statistics.median(one[way][0] for one in rounds)
        ratio = statistics.median(one[way][0] / one[given.ways[0]][0] for one in rounds)
        memory = statistics.median(one[way][1] for one in rounds)
        print(f"  {way:9} {speed:7,.0f} images/s, {ratio:.2f} of {given.ways[0]}; {memory:,.0f} MB a process")


if __name__ == "__main__":
    main()
