"""Images a second of training: ours against a plain PyTorch loop over the same networks.

    python benchmarks/throughput.py                    # the GAN and the VAE on Fashion-MNIST
    python benchmarks/throughput.py --data digits --models gan

Three ways take turns in one run, so that a busy machine slows all of them alike:

    ours     the training task as the command runs it: Lightning, data module, weight average, figures
    plain    a hand-written loop: same networks, batch, precision and memory format; tensors in memory; torch only
    float32  the plain loop in float32 with contiguous memory

The median of the rounds is printed, and the ratios round by round.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from torch import Tensor

from genimg.config.resolvers import register
from genimg.machine import Machine, choose
from genimg.models.gan import GAN, leaky_tanh
from genimg.models.vae import LOG_VAR_RANGE, MIN_LOG_SCALE, VAE
from genimg.objectives.likelihoods import discretized_logistic
from genimg.objectives.penalties import nearby, squared_gradient_estimate
from genimg.objectives.variational import gaussian_kl, reparameterise, soft_bound
from genimg.tasks import setting_up
from genimg.tasks.dry_run import WARM_UP, StepTimer, wait_for

Step = Callable[[Tensor], None]

STEPS = 50  # timed in each round, after the warm-up


def configuration(model: str, data: str, overrides: list[str]) -> dict[str, Any]:
    register()
    with initialize_config_module("genimg.configs", version_base="1.3"):
        composed = compose("train", [f"model={model}", f"data={data}", "budget.images=1000000", *overrides])
    return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))


def ours(config: dict[str, Any], machine: Machine) -> float:
    """Images a second of our training task, after its warm-up."""
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        config = {**config, "callbacks": {}, "logger": {}, "run_dir": run_dir}
        data, model = setting_up.prepare(config, machine, None)
        timer = StepTimer(STEPS)
        trainer = setting_up.make_trainer(config, machine, data, None, timer)
        trainer.fit(model, datamodule=data)
        return STEPS * data.batch_size / timer.seconds


def plain(config: dict[str, Any], machine: Machine, half: bool) -> float:
    """Images a second of the plain loop; `half` false is float32 in contiguous memory."""
    data, model = setting_up.prepare(config, machine, None)
    layout = torch.channels_last if half and machine.channels_last else torch.contiguous_format
    model = model.to(machine.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
    autocast = machine.autocast() if half else torch.autocast(machine.device.type, enabled=False)
    step = gan_step(model, autocast) if isinstance(model, GAN) else vae_step(cast(VAE, model), autocast)
    batches = images_in_memory(data, machine.device)
    for _ in range(WARM_UP):
        step(next(batches))
    wait_for(machine.device)
    started = time.perf_counter()
    for _ in range(STEPS):
        step(next(batches))
    wait_for(machine.device)
    return STEPS * data.batch_size / (time.perf_counter() - started)


def images_in_memory(data: Any, device: torch.device) -> Iterator[Tensor]:
    """Random batches of one float tensor that lies ready: the least a loop can do for its data."""
    batches = iter(data.train_dataloader())
    images = torch.cat([next(batches)["images"] for _ in range(16)]).to(device).float() / 127.5 - 1
    while True:
        yield images[torch.randint(len(images), (data.batch_size,), device=device)]


def gan_step(model: GAN, autocast: torch.autocast) -> Step:
    """One discriminator and one generator step, written out."""
    generator, discriminator, augment = model.generator, model.discriminator, model.augment
    optimizer_d, optimizer_g = model.configure_optimizers()
    game = model.game
    gamma = model.gamma[0]

    def step(real: Tensor) -> None:
        count = len(real)
        with autocast:
            fake = leaky_tanh(generator(torch.randn(count, model.latent_dim, device=real.device)).float())
            both = augment(torch.cat([real, fake.detach()]))
            part = max(1, round(count * model.penalty_share))
            of_real = torch.arange(part, device=real.device)
            probed = torch.cat([of_real, of_real + count])
            logits = discriminator(torch.cat([both, nearby(both[probed], model.penalty_step)])).float()
            penalty = squared_gradient_estimate(logits[probed], logits[2 * count :], model.penalty_step)
            loss = game.discriminator(logits[:count], logits[count : 2 * count]).mean() + gamma * penalty.mean()
        optimizer_d.zero_grad()
        loss.backward()
        optimizer_d.step()
        discriminator.requires_grad_(False)
        with autocast:
            loss = game.generator(logits[:count].detach(), discriminator(augment(fake)).float()).mean()
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        discriminator.requires_grad_(True)

    return step


def vae_step(model: VAE, autocast: torch.autocast) -> Step:
    """One step on the negative ELBO, written out."""
    optimizer = cast(torch.optim.Optimizer, model.configure_optimizers())

    def step(images: Tensor) -> None:
        with autocast:
            mean, log_var = model.encoder(images)
            mean, log_var = mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)
            outputs = model.decoder(reparameterise(mean, log_var, torch.randn_like(mean)))
            log_scale = soft_bound(model.log_scale, low=MIN_LOG_SCALE)
            log_likelihood = discretized_logistic(outputs.float(), log_scale, images)
            loss = (gaussian_kl(mean, log_var) - log_likelihood).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["gan", "vae"], choices=["gan", "vae"])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="key=value, as for genimg-train")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    for name in arguments.models:
        config = configuration(name, arguments.data, arguments.overrides)
        machine = choose(config["trainer"])
        rounds = [
            (ours(config, machine), plain(config, machine, half=True), plain(config, machine, half=False))
            for _ in range(arguments.rounds)
        ]
        speeds = [statistics.median(column) for column in zip(*rounds, strict=True)]
        against_plain = statistics.median(a / b for a, b, _ in rounds)
        against_float32 = statistics.median(a / c for a, _, c in rounds)
        print(f"{name} on {arguments.data}, batch {config['data']['batch_size']}; {machine}")
        print(
            "  images/s: "
            + ", ".join(f"{n} {v:,.0f}" for n, v in zip(("ours", "plain", "float32"), speeds, strict=True))
        )
        print(f"  ours / plain {against_plain:.3f}    ours / float32 {against_float32:.2f}", flush=True)


if __name__ == "__main__":
    main()
