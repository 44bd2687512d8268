"""Training speed in images per second, compared with a plain PyTorch loop over the same networks.

    python benchmarks/throughput.py                    # the GAN and the VAE on Fashion-MNIST
    python benchmarks/throughput.py --data digits --models gan

Three methods take turns, a few steps each, so that other work on the machine slows all of them equally:

    ours     the training task as the command runs it: Lightning, data module, EMA, metrics
    plain    a hand-written loop: same networks, batch, precision and memory format; tensors in memory; torch only
    float32  the plain loop in float32 with contiguous memory

Each runs in a separate process, which is stopped between its turns. The command sets how the threads of its worker wait
and how memory is allocated (genimg/launch/environment.py); the plain loops run in the inherited environment, as a
script does, and again in the worker's ("tuned"). The medians of the turns and of their ratios are printed.
"""

import argparse
import itertools
import logging
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any, cast
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.common.settings import read_settings
from genimg.config.resolvers import register
from genimg.launch.environment import worker_environment
from genimg.models.gan import GAN
from genimg.models.judged import judge, per_image
from genimg.models.objectives.likelihoods import bounded_log_scale, discretized_logistic
from genimg.models.objectives.penalties import squared_gradient
from genimg.models.objectives.variational import gaussian_kl, reparameterise, soft_bound
from genimg.models.outputs import leaky_tanh
from genimg.models.vae import VAE
from genimg.models.variational import LOG_VAR_RANGE
from genimg.training.dry_run import WARM_UP, synchronize
from genimg.training.machine import configure
from genimg.training.settings import TrainerSettings, TrainSettings
from genimg.training.setup import build_run

Step = Callable[[Tensor], None]

STEPS = 20  # of each method per turn


class Method:
    """A training method in a separate process: `run(config, connection)` answers each message with one turn."""

    def __init__(self, run: Callable[..., None], config: dict[str, Any], environment: dict[str, str]) -> None:
        self.connection, far_end = Pipe()
        self.process = get_context("spawn").Process(target=run, args=(config, far_end), daemon=True)
        with patch.dict(os.environ, environment):  # malloc and OpenMP read it at start
            self.process.start()
        far_end.close()  # so that `recv` fails when the process ends
        self._answer()

    def turn(self) -> float:
        """Returns the seconds of `STEPS` steps."""
        self._signal(signal.SIGCONT)
        self.connection.send(None)
        return self._answer()

    def _answer(self) -> float:
        seconds = self.connection.recv()
        self._signal(signal.SIGSTOP)  # its threads would spin on the cores of the next method
        return seconds

    def end(self) -> None:
        self.process.kill()
        self.process.join()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(cast(int, self.process.pid), number)


def configuration(model: str, data: str, overrides: list[str]) -> dict[str, Any]:
    register()
    with initialize_config_module("genimg.configs", version_base="1.3"):
        composed = compose("train", [f"model={model}", f"data={data}", "budget.images=1e9", *overrides])
    return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))


def compare(config: dict[str, Any], turns: int) -> dict[str, list[float]]:
    """Returns the seconds of `STEPS` steps for each method and turn."""
    tuned = worker_environment(os.environ)
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir, ExitStack() as ended:
        config = {**config, "callbacks": {}, "logger": {}, "run_dir": run_dir}
        methods: dict[str, Method] = {}
        for name, run, environment in (
            ("ours", ours, tuned),
            ("plain", plain, {}),
            ("plain, tuned", plain, tuned),
            ("float32", in_float32, {}),
            ("float32, tuned", in_float32, tuned),
        ):
            methods[name] = Method(run, config, environment)
            ended.callback(methods[name].end)
        rounds = [[method.turn() for method in methods.values()] for _ in range(turns)]
    return {name: list(column) for name, column in zip(methods, zip(*rounds, strict=True), strict=True)}


def ours(config: dict[str, Any], connection: Connection) -> None:
    """Runs the training task in turns."""
    logging.basicConfig(level=logging.ERROR)
    settings = TrainSettings.from_config(config)
    trainer, run = build_run(settings, configure(settings.trainer), extra_callbacks=[Turns(connection)])
    trainer.fit(run.model, datamodule=run.data)


class Turns(Callback):
    """Ends a turn after the warm-up and then after every `STEPS` steps."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.steps, self.started = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        if self.steps >= WARM_UP and (self.steps - WARM_UP) % STEPS == 0:
            synchronize(pl_module.device)
            self.connection.send(time.perf_counter() - self.started)
            self.connection.recv()
            self.started = time.perf_counter()


def in_float32(config: dict[str, Any], connection: Connection) -> None:
    """Runs the plain loop in float32 with contiguous memory."""
    plain(config, connection, half=False)


def plain(config: dict[str, Any], connection: Connection, half: bool = True) -> None:
    """Runs the plain loop in turns."""
    logging.basicConfig(level=logging.ERROR)
    settings = TrainSettings.from_config(config)
    machine = configure(settings.trainer)
    _, run = build_run(settings, machine)
    data, model = run.data, run.model
    layout = machine.layout if half else torch.contiguous_format
    model = model.to(machine.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
    autocast = machine.autocast() if half else torch.autocast(machine.device.type, enabled=False)
    step = gan_step(model, autocast) if isinstance(model, GAN) else vae_step(cast(VAE, model), autocast)
    batches = images_in_memory(data, machine.device)
    steps = WARM_UP
    while True:
        started = time.perf_counter()
        for _ in range(steps):
            step(next(batches))
        synchronize(machine.device)
        connection.send(time.perf_counter() - started)
        connection.recv()
        steps = STEPS


def images_in_memory(data: Any, device: torch.device) -> Iterator[Tensor]:
    """Yields random batches of one float tensor in memory, the least work that a loop can do for its data."""
    batches = iter(data.train_dataloader())
    images = torch.cat([next(batches)["images"] for _ in range(16)]).to(device).float() / 127.5 - 1
    while True:
        yield images[torch.randint(len(images), (data.batch_size,), device=device)]


def gan_step(model: GAN, autocast: torch.autocast) -> Step:
    """Returns a step of the discriminator and one of the generator, written out."""
    generator, discriminator, augment = model.generator, model.discriminator, model.augment
    optimizer_d, optimizer_g = model.configure_optimizers()
    losses = model.losses
    gamma = model.gamma[0]

    steps = itertools.count()

    def logits_of(images: Tensor) -> Tensor:
        return judge(discriminator, images, None, model.places)

    def of_images(values: Tensor) -> Tensor:
        return per_image(values, model.places)

    def step(real: Tensor) -> None:
        count = len(real)
        with autocast:
            fake = leaky_tanh(generator(torch.randn(count, model.latent_dim, device=real.device)).float())
            real, fake = augment.pair(real, fake)
            both = torch.cat([real, fake]).detach()
            logits = logits_of(both)
            loss = of_images(losses.discriminator(logits[:count], logits[count:])).mean()
            if next(steps) % model.penalty_every == 0:
                chosen = torch.arange(max(1, round(count * model.penalty_share)), device=real.device)
                points = both[torch.cat([chosen, chosen + count])]
                penalty = squared_gradient(lambda x: of_images(logits_of(x)), points).mean()
                loss = loss + model.penalty_every * gamma * penalty
        optimizer_d.zero_grad()
        loss.backward()
        optimizer_d.step()
        discriminator.requires_grad_(False)
        with autocast:
            loss = of_images(losses.generator(logits[:count].detach(), logits_of(fake))).mean()
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        discriminator.requires_grad_(True)

    return step


def vae_step(model: VAE, autocast: torch.autocast) -> Step:
    """Returns a step on the negative ELBO, written out."""
    optimizer = cast(torch.optim.Optimizer, model.configure_optimizers())

    def step(images: Tensor) -> None:
        with autocast:
            mean, log_var = model.encoder(images)
            mean, log_var = mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)
            outputs = model.decoder(reparameterise(mean, log_var, torch.randn_like(mean)))
            log_likelihood = discretized_logistic(outputs.float(), bounded_log_scale(model.log_scale), images)
            loss = (gaussian_kl(mean, log_var) - log_likelihood).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["gan", "vae"], choices=["gan", "vae"])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--turns", type=int, default=25, help=f"turns of {STEPS} steps per method (default: 25)")
    parser.add_argument("overrides", nargs="*", help="key=value, as for genimg-train")
    arguments = parser.parse_args()
    for name in arguments.models:
        config = configuration(name, arguments.data, arguments.overrides)
        batch_size = config["data"]["batch_size"]
        turns = compare(config, arguments.turns)
        machine = configure(read_settings(TrainerSettings, config["trainer"]))
        print(f"{name} on {arguments.data}, batch {batch_size}; {machine}")
        for method, seconds in turns.items():
            ratio = statistics.median(other / mine for other, mine in zip(seconds, turns["ours"], strict=True))
            speed = STEPS * batch_size / statistics.median(seconds)
            compared = f"    ours / {method} {ratio:.2f}" if method != "ours" else ""
            print(f"  {method:15} {speed:7,.0f} images/s{compared}")


if __name__ == "__main__":
    main()
