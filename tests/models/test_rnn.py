"""The RNN: sizes, samples, the bound, the curriculum, stored start images and classes."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.networks.dynamics import Dynamics, Gaussian, Observation
from genimg.models.networks.frames import FrameDecoder, FrameEncoder, PairDiscriminator
from genimg.models.networks.shape import NetworkShape
from genimg.models.objectives.curriculum import Curriculum
from genimg.models.rnn import RNN

SIZES = [8, 28, 50, (64, 48)]
FRAMES = 5


def tiny(
    image_size: int | tuple[int, int] = 16,
    channels: int = 1,
    recurrent: str = "lstm",
    likelihood: str = "bernoulli",
    num_classes: int = 0,
    kind: type[RNN] = RNN,
    adversarial: float = 0.0,
    given_frames: int = 1,
    num_actions: int = 0,
    truncation: int | None = None,
    checkpointing: bool = False,
) -> RNN:
    torch.manual_seed(0)
    shape = NetworkShape(image_size, channels, 4, 8, hidden=16, smallest=8, num_classes=num_classes)
    model = kind(
        encoder=FrameEncoder(shape, features=8),
        dynamics=Dynamics(
            shape,
            recurrent,
            features=8,
            latent_dim=3,
            layers=2,
            first_sigma=1.5,
            least_sigma=0.25,
            given_frames=given_frames,
            num_actions=num_actions,
        ),
        decoder=FrameDecoder(shape, layers=2),
        discriminator=PairDiscriminator(
            NetworkShape(image_size, channels, 4, 8, hidden=16, smallest=4, num_classes=num_actions)
        ),
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        discriminator_optimizer=partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.95)),
        image_size=image_size,
        channels=channels,
        num_frames=FRAMES,
        given_frames=given_frames,
        likelihood=likelihood,
        adversarial=adversarial,
        gamma=0.1,
        curriculum=Curriculum(first_frames=3, growing=0.5),
        truncation=truncation,
        checkpointing=checkpointing,
        grad_clip=1.0,
        futures=2,
        num_classes=num_classes,
        num_actions=num_actions,
        final_lr=0.1,
    )
    model.progress = 1.0
    with torch.no_grad():  # heads start near zero, where no output depends on its input
        for head in (model.dynamics.to_w, model.dynamics.to_prior, model.dynamics.to_posterior):
            head.weight.normal_(std=0.3)
        for head in (model.dynamics.to_innovation, model.dynamics.to_motion[-1]):
            head.weight.normal_(std=0.2)
    return model


def clips(count: int = 2, frames: int = FRAMES, image_size: int | tuple[int, int] = 16, channels: int = 1) -> Tensor:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    noise = torch.rand(count, frames, channels, height, width, generator=torch.Generator().manual_seed(7))
    return 2 * noise - 1


def step(model: Any, images: Tensor, **more: Tensor) -> dict[str, Tensor]:
    """A training step outside a Trainer; the gradients remain. more: further parts of the batch."""
    optimizers = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizers
    model.manual_backward = lambda loss: loss.backward()
    metrics = model.training_step({"images": images, **more}, 0)
    if model.automatic_optimization:
        metrics["loss"].backward()
        model.on_before_optimizer_step(optimizers[0])
    return {name: value.detach() for name, value in metrics.items()}


@pytest.mark.parametrize("recurrent", ["lstm", "conv_lstm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", SIZES)
def test_every_size_trains_and_every_parameter_gets_a_gradient(
    image_size: int | tuple[int, int], channels: int, recurrent: str
) -> None:
    model = tiny(image_size, channels, recurrent, likelihood="discretized_logistic", adversarial=0.5)
    batch = {"images": clips(image_size=image_size, channels=channels)}
    metrics = step(model, batch["images"])
    assert all(torch.isfinite(value) for value in metrics.values())
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without in ([], ["adversary.discriminator.discriminator.to_logit.bias"])  # its loss is of differences
    assert model.sample(Noise.of_first(2, 0), start=batch["images"][:, :1]).shape == batch["images"].shape


@pytest.mark.parametrize("recurrent", ["lstm", "conv_lstm"])
def test_a_sample_begins_with_the_start_image_and_has_the_given_length(recurrent: str) -> None:
    model, start = tiny(recurrent=recurrent), clips()[:, :1]
    long = model.sample(Noise.of_first(2, 0), start=start, num_frames=40)
    assert long.shape == (2, 40, 1, 16, 16)
    assert torch.equal(long[:, :1], start)
    assert long.abs().max() <= 1
    assert model.sample(Noise.of_first(2, 0), start=start, num_frames=1).shape[1] == 1


def test_samples_are_a_function_of_the_seed() -> None:
    model, start = tiny(), clips()[:, :1]
    first, again, other = (model.sample(Noise.of_first(2, s), start=start) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first[:, 1:], other[:, 1:])


def test_a_longer_sample_begins_with_the_frames_of_a_shorter_one() -> None:
    model, start = tiny(), clips()[:, :1]
    short, long = (model.sample(Noise.of_first(2, 0), start=start, num_frames=n) for n in (6, 40))
    torch.testing.assert_close(long[:, :6], short)


@pytest.mark.parametrize("recurrent", ["lstm", "conv_lstm"])
def test_a_sample_does_not_depend_on_its_batch(recurrent: str) -> None:
    model, start = tiny(recurrent=recurrent), clips(3)[:, :1]
    together = model.sample(Noise.of_first(3, 0), start=start)
    alone = model.sample(Noise(0, torch.tensor([1])), start=start[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


def test_samples_depend_on_the_start_image_only_and_the_bound_on_all_frames() -> None:
    model, true = tiny(), clips()
    false = true.clone()
    false[:, 1:] = -false[:, 1:]
    free = [model.sample(Noise.of_first(2, 0), start=c[:, :1], num_frames=c.shape[1])[:, 1:] for c in (true, false)]
    assert torch.equal(free[0], free[1])
    # and the bound, which may see it, does
    seen = [model.evaluate({"images": c}, Noise.of_first(2, 0))["kl"] for c in (true, false)]
    assert not torch.allclose(seen[0], seen[1])


def test_reconstructions_equal_samples_if_the_posteriors_are_the_priors() -> None:
    """Both use the means of the latents. Samples with noise differ."""
    model, images = tiny(), clips()
    dynamics = model.dynamics

    def blind(observation: Observation) -> Gaussian:
        standard = torch.zeros(len(observation.evidence), dynamics.latent_dim)
        return Gaussian(standard, standard)

    dynamics.clip_posterior = blind
    dynamics.posterior = lambda step, seen, t: dynamics.prior(step)
    free = model.sample(Noise.of_first(2, 0), start=images[:, :1])
    taught = model.reconstruct(images)[:, 1:]
    torch.testing.assert_close(
        model.sample(Noise.of_first(2, 0), start=images[:, :1], temperature=0.0)[:, 1:],
        taught,
        atol=1e-5,
        rtol=1e-4,
    )
    assert not torch.allclose(free[:, 1:], taught)


@pytest.mark.parametrize("given_frames", [1, 3])
def test_a_new_model_continues_the_velocity_with_which_a_clip_begins(given_frames: int) -> None:
    """That of the first predicted frame, which only w carries, whatever the velocity was before."""
    torch.manual_seed(0)
    shape = NetworkShape(32, 1, 4, 8, hidden=16, smallest=8, num_classes=0)
    dynamics = Dynamics(shape, "lstm", 8, 16, layers=2, first_sigma=1.5, least_sigma=0.25, given_frames=given_frames)
    velocity = torch.tensor([[0.05, -0.02], [-0.03, 0.04]])
    at = torch.arange(given_frames + 5.0) - (given_frames - 1)
    moved = torch.where(at > 0, at, -0.5 * at)  # half as fast and to the other side, until the last given frame
    measured = (moved.view(1, -1, 1) * velocity.unsqueeze(1)).unsqueeze(2).expand(-1, -1, 2, -1)  # (B, T, K, 2)
    observation = dynamics.observe(torch.zeros(2, len(at), 8), measured)
    mean, log_var = dynamics.clip_posterior(observation)
    w = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
    given = measured[:, :given_frames] if given_frames > 1 else None
    context = torch.zeros(2, 8), torch.zeros(2, 8, 8, 8)
    layout = torch.tensor([0.5, 0.5, 0.1, 0.1]).expand(2, 2, 4)
    step = dynamics.begin(w, *context, layout, None, given)
    for t in range(1, 5):
        step = dynamics(torch.zeros(2, 16), step)
        expected = t * velocity.unsqueeze(1).expand(-1, 2, -1)
        assert ((step.motion.shift - expected).norm(dim=2) < 0.4 * expected.norm(dim=2)).all()


def test_training_follows_a_path_that_sees_of_the_clip_only_w() -> None:
    """Its z_t have the prior, which enters no other term here: the KL of z_t has a weight of nearly 0."""

    def loss(push: float, tracking: float) -> float:
        model = tiny(16)
        model.progress = 0.0
        model.curriculum = Curriculum(first_frames=3, frame_kl_excess=1e-12, tracking=tracking)
        with torch.no_grad():
            model.dynamics.to_prior.bias[:3] = push
        torch.manual_seed(1)
        return float(step(model, clips())["loss"])

    assert loss(3.0, tracking=10.0) != pytest.approx(loss(0.0, tracking=10.0), rel=1e-3)
    assert loss(3.0, tracking=0.0) == pytest.approx(loss(0.0, tracking=0.0), rel=1e-6)


def test_the_layout_is_that_of_what_differs_from_the_mean_before_masks_are_learned() -> None:
    images = torch.full((1, 1, 32, 32), -1.0)
    images[..., 4:12, 16:28] = 1
    model = tiny(32)
    layers = model.decoder.split(images, model.encoder(images)[1])
    for down, right, height, width in layers.layout[0].tolist():
        assert (down, right) == pytest.approx((8 / 32, 22 / 32), abs=0.06)
        assert height < width < 0.2


@pytest.mark.slow
def test_the_elbo_is_below_a_bound_of_several_samples() -> None:
    """E log mean of K importance weights rises with K (Burda et al. 2016, theorem 1): the ELBO is K = 1."""
    model, images = tiny(8), clips(1, 3, 8)
    with torch.no_grad():
        weights = []
        for seed in range(400):
            noise = Noise.of_first(len(images), seed)
            weights.append(-model.evaluate({"images": images}, noise)["variational_loss"].double())
    bounds = torch.stack(weights)
    error = bounds.std() / math.sqrt(len(bounds))
    tighter = bounds.view(-1, 20).logsumexp(1).mean() - math.log(20)
    assert bounds.mean() <= tighter + 3 * error
    assert (model.evaluate({"images": images}, Noise.of_first(1, 0))["kl"] >= 0).all()


@pytest.mark.parametrize(("likelihood", "name"), [("bernoulli", "variational_loss"), ("discretized_logistic", "elbo")])
def test_only_a_bound_of_a_probability_is_called_elbo(likelihood: str, name: str) -> None:
    model = tiny(likelihood=likelihood)
    images = clips()
    found = model.evaluate({"images": images}, Noise.of_first(len(images), 0))
    assert model.monitor == (name, "max" if name == "elbo" else "min")
    assert (
        {"elbo", "variational_loss"} & found.keys()
        == {name}
        == {"elbo", "variational_loss"} & step(model, images).keys()
    )
    sign = 1 if name == "elbo" else -1
    torch.testing.assert_close(found[name], sign * (found["reconstruction"] - found["kl"]))


def test_validation_compares_the_best_future_with_the_mean_and_with_unrelated_clips() -> None:
    model, images = tiny(), clips(6)
    found = model.evaluate({"images": images}, Noise.of_first(6, 0))
    assert (found["mse_best"] < found["mse_mean"]).all()
    shifts = [images.roll(shift, 0) for shift in (2, 4)]  # two futures: two of the five other clips
    errors = [(0.5 * (other - images)[:, 1:]).square().sum((2, 3, 4)).mean(1) for other in shifts]
    torch.testing.assert_close(found["mse_best_unrelated"], torch.stack(errors).amin(0))
    alone = model.evaluate({"images": images[:1]}, Noise.of_first(1, 0))
    assert torch.equal(alone["mse_best_unrelated"], alone["mse_copy"])


class Blurred(RNN):
    """Futures that are the true clips with every frame blurred."""

    truth: Tensor

    def sample(self, noise: Noise, **_: object) -> Tensor:
        return torch.nn.functional.avg_pool2d(self.truth.flatten(0, 1), 3, 1, 1).view_as(self.truth)


def test_validation_measures_that_a_blurred_clip_has_less_structure_than_a_repeated_start_image() -> None:
    """A grainy scene in which a square changes its brightness: blurring gives the smaller squared error."""
    model = tiny(image_size=48, kind=Blurred)
    start = 0.2 * clips(4, frames=1, image_size=48)
    changed = start.clone()
    changed[..., :8, :8] += 1.2
    assert isinstance(model, Blurred)
    model.truth = torch.cat([start, changed], dim=1)
    found = model.evaluate({"images": model.truth}, Noise.of_first(4, 0))
    assert (found["mse_best"] < found["mse_copy"]).all()
    assert (found["ssim_best"] < found["ssim_copy"]).all()


def test_the_gradient_norm_is_clipped_to_grad_clip() -> None:
    model = tiny()
    model.grad_clip = 1e-3
    step(model, clips())
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert norm == pytest.approx(1e-3, rel=1e-3)


def gradients(length: int, **options: Any) -> dict[str, Tensor]:
    model = tiny(**options)
    step(model, clips(frames=length))
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("adversarial", [0.0, 0.5])
def test_checkpointing_changes_no_gradient(adversarial: float) -> None:
    kept, again = (gradients(20, adversarial=adversarial, checkpointing=on) for on in (False, True))
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        torch.testing.assert_close(again[name], value, atol=1e-5, rtol=1e-3, msg=name)


def test_truncation_changes_the_gradient_of_the_dynamics_and_no_value() -> None:

    def trained(truncation: int | None) -> tuple[Tensor, Tensor]:
        model = tiny(truncation=truncation)
        return step(model, clips())["loss"], model.dynamics.core.cell.weight_hh.grad

    losses, (exact, truncated, same) = zip(*map(trained, (None, 2, FRAMES)), strict=True)
    assert losses[0] == losses[1] == losses[2]
    assert not torch.allclose(exact, truncated)
    torch.testing.assert_close(exact, same)


def test_truncation_leaves_the_gradient_of_samples_which_loops_need() -> None:
    model = tiny(truncation=2)
    start, noise = clips()[:, :1], torch.randn(2, 6, model.latent_dim, generator=torch.Generator().manual_seed(1))
    latents = noise.requires_grad_()
    model.last_frame(model.begin(start, latents[:, 0]), latents[:, 1:]).sum().backward()
    assert latents.grad is not None
    assert (latents.grad.abs().sum((0, 2)) > 0).all()


def test_the_length_of_training_clips_grows_with_progress() -> None:
    model = tiny()
    lengths = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.progress = progress
        lengths.append(model.curriculum.frames(progress, FRAMES))
    assert lengths == [3, 4, 5, 5]
    model.progress = 0.0


def test_a_restored_model_samples_from_its_stored_start_images() -> None:
    model, images = tiny(), clips(5)
    with pytest.raises(UserError, match="start"):
        model.sample(Noise.of_first(2, 0))
    model.keep_starts(images[:, :1])
    copy = tiny()
    copy.load_state_dict(model.state_dict())
    kept = copy.sample(Noise.of_first(7, 0))[:, 0]  # more than are kept: they take turns
    torch.testing.assert_close(kept, images[torch.arange(7) % 5, 0], atol=1 / 255, rtol=0)


def test_stored_start_images_are_chosen_by_class() -> None:
    model, images = tiny(num_classes=10), clips(4)
    model.keep_starts(images[:, :1], torch.tensor([3, 7, 3, 1]))
    drawn = model.sample(Noise.of_first(3, 0), labels=torch.tensor([7, 1, 7]))[:, 0]
    torch.testing.assert_close(drawn, images[[1, 3, 1], 0], atol=1 / 255, rtol=0)
    other = model.sample(Noise.of_first(1, 0), labels=torch.tensor([5]))[0, 0]  # a class of which none was kept
    assert any(torch.allclose(other, kept, atol=1 / 255) for kept in images[:, 0])


def test_stored_start_images_are_spread_over_the_classes() -> None:
    model = tiny(num_classes=10)
    images = torch.zeros(100, 1, *clips(1).shape[2:])
    model.keep_starts(images, torch.arange(100) // 20)  # sorted by class, as folders are read
    assert model.starts.labels.bincount().tolist() == [7, 7, 6, 6, 6]


def test_the_class_changes_the_sample() -> None:
    model, start = tiny(num_classes=10), clips(1)[:, :1]
    one, two = (model.sample(Noise.of_first(1, 0), start=start, labels=torch.tensor([c])) for c in (1, 2))
    assert not torch.allclose(one, two)
    with pytest.raises(UserError, match="class"):
        model.sample(Noise.of_first(1, 0), start=start)


def test_reconstructions_keep_the_first_frame_and_the_shape() -> None:
    images = clips()
    made = tiny().reconstruct(images)
    assert made.shape == images.shape
    assert torch.equal(made[:, 0], images[:, 0])


def test_still_images_are_an_error() -> None:
    with pytest.raises(UserError, match="moving_digits"):
        step(tiny(), clips()[:, 0])


def test_samples_and_reconstructions_are_drawn_with_the_narrowest_kernels() -> None:
    """The frames of training with the predicted ones."""
    model = tiny()
    draw, widths = model.decoder.forward, []

    def spy(layers: Any, canvas: Tensor, shift: Tensor, sigma: Tensor, *rest: Any) -> Tensor:
        widths.append(sigma)
        return draw(layers, canvas, shift, sigma, *rest)

    model.decoder.forward = spy
    model.animate(torch.rand(2, 1, 1, 16, 16), torch.randn(2, 4, model.latent_dim))
    model.reconstruct(clips())
    model.evaluate({"images": clips()}, Noise.of_first(2, 0))
    assert (widths[0] == 0.25).all() and (widths[1] == 0.25).all()
    assert any((sigma > 0.3).all() for sigma in widths[2:])


def test_several_given_frames_begin_a_sample_and_move_the_last_of_them() -> None:
    model, given = tiny(given_frames=3), clips()[:, :3]
    drawn = model.sample(Noise.of_first(2, 0), start=given, num_frames=8)
    assert drawn.shape[1] == 8
    assert torch.equal(drawn[:, :3], given)
    with torch.no_grad():  # layers at rest
        for head in (model.dynamics.to_recalled, model.dynamics.to_innovation, model.dynamics.to_motion[-1]):
            head.weight.zero_()
            head.bias.zero_()
        model.dynamics.to_velocity.weight.zero_()
        model.dynamics.to_motion[-1].bias[:2] = -1.0  # turn: the velocity of the given frames ends
        for head in (model.decoder.to_flow, model.decoder.to_image):
            head.weight.zero_()
    model.decoder.to_image.bias.data[-4:] = -30.0  # nothing is drawn
    still = model.sample(Noise.of_first(2, 0), start=given, num_frames=4)[:, 3]
    assert (still - given[:, 2]).abs().mean() < 0.2 < (still - given[:, 0]).abs().mean()


def test_what_was_given_before_the_last_frame_changes_the_prediction() -> None:
    model = tiny(given_frames=3)
    with torch.no_grad():
        model.dynamics.to_recalled.weight.normal_(std=0.5)
        model.dynamics.to_velocity.weight.normal_(std=0.5)
    given = clips()[:, :3]
    other = torch.cat([-given[:, :2], given[:, 2:]], dim=1)
    first, second = (model.sample(Noise.of_first(2, 0), start=start)[:, 3:] for start in (given, other))
    assert not torch.allclose(first, second, atol=1e-3)


def test_the_bound_of_given_frames_is_of_the_frames_after_them() -> None:
    """It does not depend on the likelihood of given frames, and its KL of w is to p(w | given frames)."""
    model = tiny(given_frames=3)
    metrics = model.evaluate({"images": clips()}, Noise.of_first(2, 0))
    copy = (0.5 * (clips()[:, 2:3] - clips()[:, 3:])).square().sum((2, 3, 4)).mean(1)
    torch.testing.assert_close(metrics["mse_copy"], copy)
    with torch.no_grad():
        for head in (model.dynamics.to_w, model.dynamics.to_recalled):
            head.weight.zero_()
            head.bias.fill_(0.7)
    assert model.evaluate({"images": clips()}, Noise.of_first(2, 0))["kl_clip"].abs().max() < 1e-5


def test_every_parameter_learns_from_given_frames() -> None:
    model = tiny(given_frames=3)
    metrics = step(model, clips())
    assert all(torch.isfinite(value) for value in metrics.values())
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_discriminator_sees_frames_as_they_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `animate` with the same noise, at one time of each clip, and not those of the posteriors."""
    model = tiny(channels=3, likelihood="discretized_logistic", adversarial=0.5)
    assert model.adversary is not None
    drawn: list[Tensor] = []
    seen: list[Tensor] = []
    randn = torch.randn

    def recorded(*shape: Any, **options: Any) -> Tensor:
        drawn.append(randn(*shape, **options))
        return drawn[-1]

    def watched(real: Tensor, fake: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        seen.append(fake.detach())
        raise InterruptedError

    monkeypatch.setattr(torch, "randn", recorded)
    monkeypatch.setattr(model.adversary, "critic_loss", watched)
    images = clips(channels=3)
    with pytest.raises(InterruptedError):
        step(model, images)
    of_posteriors, of_priors = drawn
    later = seen[0][:, 3:]
    for noise, expected in ((of_priors, True), (of_posteriors, False)):
        frames = model.animate(images[:, :1], noise)[:, 1:]
        nearest = (frames - later.unsqueeze(1)).abs().amax((2, 3, 4)).amin(1)
        assert (nearest < 1e-5).tolist() == [expected, expected]


@pytest.mark.parametrize("given_frames", [1, 2])
def test_prior_posterior_and_recurrence_see_the_action_of_their_frame(given_frames: int) -> None:
    """Of a clip of five frames, the actions of those that are predicted; an earlier one changes nothing."""
    model, images = tiny(num_actions=3, given_frames=given_frames), clips()
    kept: dict[str, list[Tensor]] = {"prior": [], "posterior": [], "forward": []}
    for name, found in kept.items():
        original = getattr(model.dynamics, name)

        def spy(*given: Any, original: Any = original, found: list[Tensor] = found) -> Any:
            result = original(*given)
            found.append(result.mean if isinstance(result, Gaussian) else result.motion.shift)
            return result

        setattr(model.dynamics, name, spy)
    taken = torch.zeros(2, FRAMES - 1, dtype=torch.int64)
    for frame in range(FRAMES - 1):
        results = []
        for action in (0, 2):
            changed = taken.clone()
            changed[:, frame] = action
            for found in kept.values():
                found.clear()
            model.reconstruct(images, None, changed)
            results.append({name: torch.stack(found) for name, found in kept.items()})
        first = frame - (given_frames - 1)  # the predicted frame to which it leads
        for name in kept:
            one, other = (result[name] for result in results)
            assert torch.equal(one[: max(first, 0)], other[: max(first, 0)])
            if first >= 0:
                assert not torch.allclose(one[first], other[first]), name
            else:
                assert torch.equal(one, other)


def test_actions_are_learned_from_batches_that_have_them() -> None:
    model, images = tiny(num_actions=3, adversarial=0.5), clips()
    step(model, images, actions=torch.tensor([[0, 1, 0, 1]] * 2))
    gradient = model.dynamics.action_vectors.weight.grad
    assert (gradient[:2].abs().sum(1) > 0).all() and (gradient[2] == 0).all()
    with pytest.raises(UserError, match="actions"):
        step(model, images)


def test_roll_outs_of_validation_follow_the_actions_of_the_clips() -> None:
    model, images = tiny(num_actions=3), clips()
    actions = torch.tensor([[0, 1, 2, 1], [2, 2, 1, 0]])
    free = [model.sample(Noise.of_first(2, 0).of_future(n), start=images[:, :1], actions=actions) for n in range(2)]
    errors = [(0.5 * (drawn - images)[:, 1:]).square().sum((2, 3, 4)).mean(1) for drawn in free]
    found = model.evaluate({"images": images, "actions": actions}, Noise.of_first(2, 0))
    torch.testing.assert_close(found["mse_mean"], torch.stack(errors).mean(0))
