"""`select=`: only images with high logits are drawn, and each is a function of its seed and index."""

from pathlib import Path

import pytest
import torch

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.selection import Selection
from genimg.sampling.source import CHUNK
from tests.sampling.test_sampler import image_sampler
from tests.sampling.test_styles import gan_of, styled
from tests.trained import checkpoint


def number(noise: Noise, labels: torch.Tensor | None) -> torch.Tensor:
    """An image of one pixel: a uniform number, plus 10 times the class."""
    return noise.uniform(1, 1, 1) + (0 if labels is None else 10 * labels.view(-1, 1, 1, 1))


def test_selected_images_are_uniform_above_the_threshold_of_their_class() -> None:
    labels = torch.arange(2000) % 2
    select = Selection(number, lambda images, _: images.flatten(), 0.25, torch.device("cpu"))
    drawn = select(Noise.of_first(2000, seed=5), labels).flatten() - 10 * labels
    assert abs(drawn.min() - 0.75) < 4 * (0.25 * 0.75 / 256) ** 0.5, "the quantile of 256 logits"
    middle = (drawn.min() + 1) / 2
    assert abs((drawn > middle).double().mean() - 0.5) < 4 * 0.5 / 2000**0.5
    first = number(Noise.of_first(2000, seed=5), labels).flatten() - 10 * labels
    kept = first >= drawn.min()
    assert 0.15 < kept.double().mean() < 0.35
    assert torch.equal(drawn[kept], first[kept]), "an image that is good enough at once stays"


def test_a_threshold_that_nothing_reaches_gives_the_best_draw() -> None:
    select = Selection(number, lambda images, _: images.flatten(), 1.0, torch.device("cpu"))
    select._thresholds[()] = torch.tensor(2.0)
    drawn = select(Noise.of_first(50, seed=1), None).flatten()
    tried = torch.stack([number(Noise.of_first(50, seed=1).of_future(t), None).flatten() for t in range(10)])
    assert torch.equal(drawn, tried.max(0).values)


def test_the_sampler_keeps_images_with_high_logits() -> None:
    sampler = styled("model.conditional=true")
    model = gan_of(sampler)
    plain, chosen = sampler.sample(3 * CHUNK, seed=2), sampler.sample(3 * CHUNK, seed=2, select=0.3)
    labels = sampler.labels(None, 3 * CHUNK)
    assert (model.logits(chosen, labels) >= model.logits(plain, labels)).all()
    assert not torch.equal(chosen, plain)
    assert torch.equal(sampler.sample(5, seed=2, select=0.3), chosen[:5])


def test_models_without_a_discriminator_and_shares_out_of_range_are_errors(tmp_path: Path) -> None:
    exported = styled()
    del exported.model.discriminator
    for sampler in (exported, image_sampler(), from_checkpoint(checkpoint("model=vae"), "cpu")):
        with pytest.raises(UserError, match="no discriminator") as caught:
            sampler.stream(1, select=0.5)
        assert caught.value.key == "select"
    for share in (0.0, 1.5):
        with pytest.raises(UserError, match=r"0\.01 to 1"):
            styled().stream(1, select=share)
    with pytest.raises(UserError, match="not set with interpolate"):
        write_samples(styled(), SampleOptions.defaults(select=0.5, interpolate=2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_memory_estimate_includes_the_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = styled()
    seen: list[tuple[int, ...]] = []

    def logits(images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        seen.append(tuple(images.shape))
        return images.flatten(1).sum(1)

    monkeypatch.setattr(type(sampler.model), "logits", lambda _, images, labels=None: logits(images, labels))
    sampler.stream(1)
    assert not seen
    sampler.stream(1, select=0.5)
    assert seen == [(CHUNK, *sampler.image_shape)]
