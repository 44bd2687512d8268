"""The GAN: objectives, the two training steps, the penalty, learned distributions and reproducible samples."""

import copy
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from sklearn.datasets import load_digits
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.config.yaml_text import all_keys, groups
from genimg.models.gan import GAN, PENALTIES
from genimg.models.networks.augmentation import Augmentation
from genimg.models.networks.probability import Probability
from genimg.models.networks.shape import ImageSize, NetworkShape
from genimg.models.networks.slim import Discriminator, Generator
from genimg.models.objectives.adversarial import OBJECTIVES
from genimg.models.outputs import leaky_tanh
from tests.trained import untrained


def gan(image_size: ImageSize = 8, channels: int = 1, num_classes: int = 0, seed: int = 0, **settings: Any) -> GAN:
    torch.manual_seed(seed)
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(0.0, 0.95))
    defaults: dict[str, Any] = {
        "objective": "relativistic", "gamma": (0.1, 0.01), "penalty": "exact", "penalty_every": 1,
        "penalty_on": "both", "penalty_share": 0.5, "penalty_step": 0.02, "penalty_directions": 1,
        "output": "leaky_tanh", "batch_statistics": False, "n_critic": 1, "gradient_penalty": 10.0, "centring": 0.0,
        "places": "auto",
        "augment": Augmentation([], Probability("adaptive", 1)),
        "lr_schedule": "cosine", "final_lr": 0.1, "lr_warmup": 0.0, "beta2": None,
    }  # fmt: skip
    shape = NetworkShape(image_size, channels, 4, 8, 8, 4, num_classes)
    return GAN(
        Generator(shape, 4, "zeros"),
        Discriminator(shape),
        adam,
        adam,
        latent_dim=4,
        num_classes=num_classes,
        **(defaults | settings),
    )


class Repeat:
    """Yields one batch `times` times, or `draw` random items of it each time."""

    def __init__(self, batch: dict[str, Tensor], times: int, draw: int | None) -> None:
        self.batch, self.times, self.draw = batch, times, draw

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.times):
            index = slice(None)
            if self.draw is not None:
                index = torch.randint(len(self.batch["images"]), (self.draw,), generator=generator)
            yield {name: values[index] for name, values in self.batch.items()}


def train(
    model: GAN,
    images: Tensor,
    labels: Tensor | None = None,
    steps: int = 1,
    precision: Any = "32-true",
    draw: int | None = None,
) -> dict[str, float]:
    """`steps` steps of the Trainer on one batch; the last metrics."""
    seen: list[dict[str, Tensor]] = []
    step = model.training_step

    def spy(batch: Any, batch_idx: int) -> dict[str, Tensor]:
        seen.append(step(batch, batch_idx))
        return seen[-1]

    model.training_step = spy
    batch = {"images": images} | ({} if labels is None else {"labels": labels})
    trainer = Trainer(
        accelerator="cpu", precision=precision, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, Repeat(batch, steps, draw))
    return {name: float(value) for name, value in seen[-1].items()}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_updates_generator_and_discriminator(objective: str) -> None:
    model = gan(objective=objective)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    metrics = train(model, torch.rand(8, 1, 8, 8) * 2 - 1, steps=3)
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    for name, tensor in model.state_dict().items():
        if name != "discriminator.to_logit.bias":  # objectives of differences have no gradient there
            assert not torch.equal(tensor, before[name]), f"{name} did not move"


#: Each network with all its options.
NETWORKS = {
    "slim": [],
    "projected": [],
    "r3gan": ["model.group_width=4"],
    "dcgan": [],
    "resnet": ["model.attention=4", "model.spectral_generator=true"],
    "stylegan2": ["model.style_mixing=0.9", "model.path_length=2.0", "model.group_size=2"],
}


def test_every_network_is_tested() -> None:
    keys = {name: {key.name for key in all_keys("model/network", name, None)} for name in groups(None)["model/network"]}
    assert set(NETWORKS) == {name for name, found in keys.items() if {"generator", "discriminator"} <= found}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("size", "channels"), [(8, 3), (28, 1), (50, 3), ((64, 48), 3)])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_and_samples_at_every_size(
    network: str, size: ImageSize, channels: int, conditional: bool
) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    data = [f"data.image_size=[{height},{width}]", f"data.channels={channels}", f"model.conditional={conditional}"]
    model = untrained("model=gan", f"model/network={network}", *NETWORKS[network], *data)[1]
    assert isinstance(model, GAN)
    images = torch.rand(4, channels, height, width) * 2 - 1
    labels = torch.tensor([0, 1, 2, 0]) if conditional else None
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    metrics = train(model, images, labels, steps=2)
    assert all(math.isfinite(value) for value in metrics.values())
    still = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert still <= {"discriminator.to_logit.bias"}, "objectives of differences have no gradient there"
    samples = model.eval().sample(Noise.of_first(4, 0), labels=labels)
    assert samples.shape == images.shape and samples.abs().max() <= 1
    torch.testing.assert_close(model.sample(Noise.of_first(4, 0), labels=labels), samples, rtol=0, atol=0)


def test_samples_are_a_function_of_the_seed() -> None:
    model = gan()
    a, b, c = (model.sample(Noise.of_first(3, seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_temperature_scales_the_latents() -> None:
    model = gan()
    cold = model.sample(Noise.of_first(3, 0), temperature=0.0)
    torch.testing.assert_close(cold, model.decode(torch.zeros(3, 4)))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_generator_step_uses_the_updated_discriminator(precision: Any) -> None:
    """The fake images are computed once for both steps; the logits of the real images are those before the step."""
    model = gan()
    images = torch.rand(8, 1, 8, 8) * 2 - 1
    before = copy.deepcopy(model.discriminator)
    drawn: list[Tensor] = []
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    losses = model.losses

    def generated(generator: nn.Module, inputs: Any, outputs: Tensor) -> None:
        drawn.append(leaky_tanh(outputs.float()))

    def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"), torch.no_grad():
            seen.append((real_logits, fake_logits, copy.deepcopy(model.discriminator)(drawn[0]).float()))
        return losses.generator(real_logits, fake_logits)

    model.generator.register_forward_hook(generated)
    model.losses = losses._replace(generator=generator_loss)
    train(model, images, precision=precision)
    ((real_logits, fake_logits, answer),) = seen
    assert len(drawn) == 1
    assert not real_logits.requires_grad
    torch.testing.assert_close(fake_logits[:, 0], answer)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"), torch.no_grad():
        torch.testing.assert_close(real_logits[:, 0], before(images).float())
        assert not torch.equal(fake_logits[:, 0], before(drawn[0]).float())


def test_the_generator_moves_after_every_nth_step_of_the_discriminator() -> None:
    """Each step has its own fake images, and the clock counts the images of all of them."""
    model = gan(n_critic=3)
    step, moved, fakes = model.training_step, [], []

    def spy(batch: Any, batch_idx: int) -> dict[str, Tensor]:
        model.images_seen = 8 * batch_idx
        before = [nn.utils.parameters_to_vector(network.parameters()).clone() for network in model.networks().values()]
        metrics = step(batch, batch_idx)
        after = [nn.utils.parameters_to_vector(network.parameters()) for network in model.networks().values()]
        moved.append([not torch.equal(a, b) for a, b in zip(before, after, strict=True)])
        assert ("loss_g" in metrics) == moved[-1][0]
        return metrics

    model.training_step = spy
    model.generator.register_forward_hook(lambda generator, inputs, outputs: fakes.append(outputs.detach()))
    train(model, torch.rand(8, 1, 8, 8) * 2 - 1, steps=6)
    assert moved == 2 * [[False, True], [False, True], [True, True]]
    assert len({float(fake.mean()) for fake in fakes}) == 6


def test_the_penalty_covers_real_and_fake_images_or_one_of_them() -> None:
    """The penalty of a batch is the sum of the penalties at its real and at its fake images, or one of the two."""
    dark, bright = torch.full((64, 1, 8, 8), -0.5), torch.full((64, 1, 8, 8), 0.5)

    def penalty(real: Tensor, fake: Tensor, on: str = "both") -> float:
        model = gan(places=0.0, gamma=(1.0, 1.0), penalty_share=1.0, penalty_on=on)
        model.discriminator = Steep()
        torch.manual_seed(0)
        return float(model.discriminator_loss(real, fake, None)[0]["penalty"])

    assert penalty(dark, dark) == 0
    assert penalty(bright, dark) > 1 and penalty(dark, bright) > 1
    assert penalty(bright, bright) == pytest.approx(penalty(bright, dark) + penalty(dark, bright), rel=1e-4)
    assert penalty(bright, dark, "real") == pytest.approx(penalty(bright, dark), rel=1e-4)
    assert penalty(bright, dark, "fake") == penalty(dark, bright, "real") == 0


class Steep(nn.Module):
    """A critic with gradient 0 at dark pixels and 1 at bright pixels."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.clamp_min(0).flatten(1).sum(1)


class Places(Steep):
    """An image has the logit of `Steep`, and each of its columns as a place the mean of the column, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.cat([self(images)[:, None], self.factor * images.mean((1, 2))], dim=1)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_places_add_their_mean_loss_to_that_of_the_image(weight: float) -> None:
    model = gan(places=weight, gamma=0.0)
    model.discriminator = Places()
    real, fake = torch.rand(8, 1, 8, 8), -torch.rand(8, 1, 8, 8)
    metrics, (logits, _) = model.discriminator_loss(real, fake, None)
    image, places = real.clamp_min(0).sum((1, 2, 3)), real.mean((1, 2)) - fake.mean((1, 2))
    expected = nn.functional.softplus(-image).mean() + weight * nn.functional.softplus(-places).mean()
    torch.testing.assert_close(metrics["loss_d"], expected)
    torch.testing.assert_close(metrics["real_logits"], image.mean())  # health and augmentation read the image's alone
    torch.testing.assert_close(model.logits(real), image)
    assert logits.shape == (8, 9 if weight else 1)


def test_the_penalty_is_that_of_the_weighted_logits() -> None:
    """|grad (D + weight mean of the places)|^2, of dark images, whose own logit has no gradient."""
    model = gan(places=0.5, gamma=(1.0, 1.0), penalty_share=1.0)
    model.discriminator = Places(factor=8.0)
    dark = torch.full((4, 1, 8, 8), -0.5)
    metrics, _ = model.discriminator_loss(dark, dark, None)
    slope = 0.5 * 8.0 / 64  # of every pixel: it is in one of 8 places, as one of 8 pixels
    assert float(metrics["penalty"]) == pytest.approx(2 * 64 * slope**2)


def test_a_weight_of_places_needs_a_discriminator_that_judges_them() -> None:
    with pytest.raises(UserError) as mistake:
        untrained("model=gan", "model/network=resnet", "model.places=0.5")
    assert mistake.value.key == "model.places"
    model = untrained("model=gan", "model/network=resnet")[1]
    assert isinstance(model, GAN) and model.places == 0


def test_gamma_falls_from_its_first_to_its_last_value() -> None:
    model: Any = gan(places=0.0, gamma=(1.0, 0.25))
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    images = torch.rand(8, 1, 8, 8)

    def share_of_penalty(progress: float) -> float:
        model.set_clock(0, progress)
        torch.manual_seed(0)
        metrics, _ = model.discriminator_loss(images, -images, None)
        plain = OBJECTIVES["relativistic"].discriminator(model.discriminator(images), model.discriminator(-images))
        return float(((metrics["loss_d"] - plain.mean()) / metrics["penalty"]).detach())

    assert share_of_penalty(0.0) == pytest.approx(0.5 * 1.0, rel=1e-3)
    assert share_of_penalty(1.0) == pytest.approx(0.5 * 0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", [0.0, 0.5 * 0.8682, 0.55, 0.1]),
        ("constant", [0.0, 0.5, 1.0, 1.0]),
        ("inverse_sqrt", [0.0, 0.5 * 0.2, 0.1 / 0.5**0.5, 0.1]),
    ],
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: str, expected: list[float]) -> None:
    model: Any = gan(lr_schedule=schedule, lr_warmup=0.5)
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    found = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.set_clock(0, progress)
        found.append(optimizers[0].param_groups[0]["lr"] / 2e-3)
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("fused", [False, True])
def test_each_step_of_adam_averages_with_the_beta2_of_its_time(fused: bool) -> None:
    """v = beta2 v + (1 - beta2) g^2 (Kingma & Ba 2015, algorithm 1), in both optimizers, with 0.5, 0.7 and 0.9."""
    model: Any = gan(beta2=(0.5, 0.9))
    model.generator_optimizer = model.discriminator_optimizer = partial(
        torch.optim.Adam, lr=1e-3, betas=(0.0, 0.95), fused=fused
    )
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    expected = 0.0
    for progress, beta2 in ((0.0, 0.5), (0.5, 0.7), (1.0, 0.9)):
        model.set_clock(0, progress)
        gradient = 1 + progress
        expected = beta2 * expected + (1 - beta2) * gradient**2
        for optimizer in optimizers:
            for weight in optimizer.param_groups[0]["params"]:
                weight.grad = torch.full_like(weight, gradient)
            optimizer.step()
            for state in optimizer.state.values():
                torch.testing.assert_close(state["exp_avg_sq"], torch.full_like(state["exp_avg_sq"], expected))


def test_beta2_of_an_optimizer_without_betas_is_an_error() -> None:
    model = gan(beta2=0.9)
    model.generator_optimizer = partial(torch.optim.RMSprop, lr=1e-3)
    with pytest.raises(UserError, match="null, because RMSprop has no betas") as mistake:
        model.configure_optimizers()
    assert (mistake.value.key, str(mistake.value.got)) == ("model.beta2", "0.9")


def test_a_lazy_penalty_comes_every_kth_step_with_k_times_the_weight() -> None:
    model = gan(places=0.0, gamma=(1.0, 1.0), penalty_every=4, penalty_share=1.0)
    model.discriminator = Steep()
    images = torch.rand(8, 1, 8, 8)
    seen = []
    for step in range(8):
        model.images_seen = step * len(images)
        metrics, _ = model.discriminator_loss(images, -images, None)
        seen.append("penalty" in metrics)
        if seen[-1]:
            plain = OBJECTIVES["relativistic"].discriminator(Steep()(images), Steep()(-images)).mean()
            assert float(metrics["loss_d"] - plain) == pytest.approx(0.5 * 4 * 64)  # gradient 1 at 64 real pixels
    assert seen == [True, False, False, False] * 2


@pytest.mark.parametrize("name", PENALTIES)
def test_the_unit_gradient_penalty_is_lazy_too(name: str) -> None:
    torch.manual_seed(0)
    share = {"penalty_every": 4, "penalty_share": 0.5, "gradient_penalty": 10.0}
    model = gan(places=0.0, objective="wasserstein", penalty=name, penalty_directions=300, **share)
    model.discriminator = Steep()
    images = torch.rand(8, 1, 8, 8)
    seen = []
    for step in range(8):
        model.images_seen = step * len(images)
        metrics, (logits, _) = model.discriminator_loss(images, images, None)
        seen.append("penalty" in metrics)
        assert logits.shape == (8, 1)
        if seen[-1]:
            assert float(metrics["loss_d"]) == pytest.approx(
                4 * 10 * (64**0.5 - 1) ** 2, rel=0.1
            )  # gradient 1 per pixel
    assert seen == [True, False, False, False] * 2


class Shifted(Steep):
    """With an offset of all logits, which the loss of a difference does not determine."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(images) + self.offset


@pytest.mark.parametrize("weight", [0.0, 0.01])
def test_centring_pulls_the_middle_of_the_logits_to_0(weight: float) -> None:
    """The gradient in the offset is that of weight mean (D(x) + D(G(z)))^2; without centring there is none."""
    model = gan(places=0.0, gamma=0.0, centring=weight)
    model.discriminator = critic = Shifted()
    images = torch.rand(8, 1, 8, 8)
    model.discriminator_loss(images, -images, None)[0]["loss_d"].backward()
    sums = critic(images) + critic(-images)
    assert critic.offset.grad is not None and sums.mean() > 6
    torch.testing.assert_close(critic.offset.grad, weight * 4 * sums.detach().mean())


class Grouped(Steep):
    """The critic of a group compares its images; `passes` are the batches that it was given."""

    group_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[Tensor] = []

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        self.passes.append(images.detach())
        return super().forward(images.unflatten(0, (-1, 4)).flatten(1, 2)).repeat_interleave(4)


@pytest.mark.parametrize(("share", "groups"), [(0.01, 1), (0.3, 1), (0.4, 2), (1.0, 4)])
def test_the_penalty_of_a_critic_of_groups_has_complete_groups_of_real_and_of_fake_images(
    share: float, groups: int
) -> None:
    critic: Any = Grouped()
    model = gan(places=0.0, gamma=(1.0, 1.0), penalty_share=share)
    model.discriminator, model.group_size = critic, critic.group_size
    real, fake = torch.full((16, 1, 8, 8), 0.5), torch.full((16, 1, 8, 8), -0.5)
    model.discriminator_loss(real, fake, None)
    images = critic.passes[-1]
    assert torch.equal(images, torch.cat([real[: 4 * groups], fake[: 4 * groups]]))


@pytest.mark.parametrize("n_critic", [1, 2])
def test_a_penalty_of_the_generator_comes_in_every_kth_of_its_steps(n_critic: int) -> None:
    words = ["model.path_length=2.0", "model.path_length_every=3", f"model.n_critic={n_critic}"]
    model = untrained("model=gan", "model/network=stylegan2", *words)[1]
    assert isinstance(model, GAN)
    step, seen = model.training_step, []

    def spy(batch: Any, batch_idx: int) -> dict[str, Tensor]:
        model.images_seen = len(batch["images"]) * batch_idx
        metrics = step(batch, batch_idx)
        if "loss_g" in metrics:
            seen.append("penalty_g" in metrics)
        return metrics

    model.training_step = spy
    train(model, torch.rand(8, 1, 8, 8) * 2 - 1, steps=6 * n_critic)
    assert seen == [True, False, False] * 2


def test_the_first_order_penalty_agrees_with_the_exact_one() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    exact, estimate = (
        gan(gamma=(1.0, 1.0), penalty=name, penalty_share=1.0, penalty_directions=500) for name in PENALTIES
    )
    exact_value, estimated = (
        float(model.discriminator_loss(images, images, None)[0]["penalty"].detach()) for model in (exact, estimate)
    )
    assert estimated == pytest.approx(exact_value, rel=0.2)


def test_training_learns_a_distribution_of_two_points() -> None:
    """Half the images are dark, half bright: after 600 steps so are about half of the samples (eight seeds of eight).

    With a strong penalty, gamma 3. Under a weak one, or between points farther apart, both players can end on one
    of the points, for some seeds (Mescheder et al. 2018, section 2.1).
    """
    images = torch.cat([torch.full((16, 1, 8, 8), -0.3), torch.full((16, 1, 8, 8), 0.3)])
    model = gan(gamma=(3.0, 3.0), seed=0)
    train(model, images, steps=600)
    with torch.no_grad():
        means = model.sample(Noise.of_first(256, 0)).mean(dim=(1, 2, 3))
    assert 0.3 < (means > 0).float().mean() < 0.7
    assert float(means.abs().mean()) == pytest.approx(0.3, abs=0.1)


def test_samples_belong_to_their_class_and_vary_within_it() -> None:
    """After 300 steps on digits, the variance within a class is a large part of that of the data.

    With a class embedding concatenated to z instead of a scale and a shift, it was a quarter for each of three seeds.
    """
    digits: Any = load_digits()
    images, labels = torch.tensor(digits.images).float()[:, None] / 8 - 1, torch.tensor(digits.target)
    torch.manual_seed(0)
    model = gan(num_classes=10, gamma=(0.3, 0.03), penalty_share=0.25)
    shape = NetworkShape(8, 1, 16, 64, 64, 4, num_classes=10)
    model.generator, model.discriminator = Generator(shape, 32, "zeros"), Discriminator(shape)
    model.latent_dim = 32
    model.generator_optimizer = model.discriminator_optimizer = partial(torch.optim.Adam, lr=1.6e-3, betas=(0.0, 0.95))
    train(model, images, labels, steps=300, draw=64)
    asked = torch.arange(500) % 10
    with torch.no_grad():
        samples = model.sample(Noise.of_first(500, 0), labels=asked)
    means = torch.stack([images[labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(samples.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == asked).float().mean() > 0.75  # of real digits 0.90 are nearest to their class's mean
    ratios = [samples[asked == c].var(0).sum() / images[labels == c].var(0).sum() for c in range(10)]
    assert torch.stack(ratios).median() > 0.5


def top_and_bottom(p: float, steps: int) -> tuple[Tensor, Tensor]:
    """Brightness of the upper and of the lower half of samples, trained on images with a bright upper half."""
    augment = Augmentation("ada", Probability([p, p], ramp=1))
    model = gan(gamma=(3.0, 3.0), augment=augment)
    images = torch.full((32, 1, 8, 8), -0.3)
    images[:, :, :4] = 0.3
    train(model, images, steps=steps)
    with torch.no_grad():
        samples = model.sample(Noise.of_first(256, 0))
    return samples[:, :, :4].mean((1, 2, 3)), samples[:, :, 4:].mean((1, 2, 3))


def test_augmentation_does_not_leak_into_the_samples() -> None:
    """All images have a bright upper half: no sample is turned or inverted, although most that D sees are."""
    top, bottom = top_and_bottom(p=0.5, steps=200)
    assert (top > bottom).float().mean() > 0.98
    assert float((top - bottom).mean()) == pytest.approx(0.6, abs=0.2)


def test_a_saturated_generator_recovers() -> None:
    """Its outputs begin at -20, where tanh has no gradient in float32."""
    model: Any = gan()
    torch.nn.init.constant_(model.generator.to_image.bias, -20.0)
    metrics = train(model, torch.zeros(16, 1, 8, 8), steps=1)
    moved = model.generator.to_image.bias.detach() + 20
    assert metrics["loss_g"] > 0 and moved.abs().min() > 1e-3
    assert model.decode(torch.randn(2, 4)).abs().max() <= 1


def test_an_unknown_objective_is_an_error_with_its_name() -> None:
    with pytest.raises(UserError, match="got hinges") as mistake:
        gan(objective="hinges")
    assert mistake.value.key == "model.objective"


@pytest.mark.parametrize(("output", "image"), [("linear", 0.75), ("tanh", 0.6351), ("leaky_tanh", 0.6359)])
def test_the_output_maps_the_generator_to_images_and_samples_are_clipped(output: str, image: float) -> None:
    model: Any = gan(output=output)
    torch.nn.init.zeros_(model.generator.to_image.weight)
    torch.nn.init.constant_(model.generator.to_image.bias, 0.75)
    torch.testing.assert_close(model.decode(torch.randn(2, 4)), torch.full((2, 1, 8, 8), image), rtol=0, atol=1e-4)
    torch.nn.init.constant_(model.generator.to_image.bias, 9.0)
    assert model.decode(torch.randn(2, 4)).max() == 1 or output == "tanh"


def test_an_unknown_output_is_an_error_with_its_name() -> None:
    with pytest.raises(UserError, match="got sigmoid") as mistake:
        gan(output="sigmoid")
    assert mistake.value.key == "model.output"


class Centred(nn.Module):
    """A critic with batch statistics: the brightness of an image minus the mean of its batch."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        brightness = images.mean((1, 2, 3))
        return brightness - brightness.mean()


def test_with_batch_statistics_real_and_fake_images_pass_separately() -> None:
    """Each half is centred by its own mean; in one pass the logits of bright and dark images would differ."""
    dark, bright = torch.full((4, 1, 8, 8), -0.5), torch.full((4, 1, 8, 8), 0.5)
    for apart in (True, False):
        model = gan(places=0.0, gamma=(0.0, 0.0), batch_statistics=apart)
        model.discriminator = Centred()
        metrics, _ = model.discriminator_loss(bright, dark, None)
        assert float(metrics["real_logits"]) == float(-metrics["fake_logits"]) == (0 if apart else 0.5)


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_the_discriminator_sees_periodic_images_rolled_and_others_as_they_are(padding: str) -> None:
    """A roll keeps the cyclic order of the rows. Real images are not periodic and never rolled."""
    model = untrained("model=gan", f"model.padding={padding}")[1]
    assert isinstance(model, GAN) and isinstance(model.discriminator, Discriminator)
    assert model.periodic == (padding == "circular")
    real, drawn, seen = torch.rand(8, 1, 8, 8) * 2 - 1, [], []
    model.generator.register_forward_hook(lambda layer, inputs, output: drawn.append(leaky_tanh(output)))
    model.discriminator.backbone.from_image.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    train(model, real)
    assert torch.equal(seen[0][:8], real)
    shifts = []
    for made, shown in zip(drawn[0], seen[0][8:], strict=True):
        rolls = [(row, column) for row in range(8) for column in range(8)]
        shifts.append([one for one in rolls if torch.equal(made.roll(one, (1, 2)), shown)])
    assert all(len(found) == 1 for found in shifts)
    assert (len({found[0] for found in shifts}) > 5) == model.periodic
    assert torch.equal(seen[-1], seen[0][8:]), "the generator's step"
