"""Styles: drawing in two parts, the mean of each class, and truncation towards it."""

import pytest
import torch

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.gan import GAN
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler
from genimg.sampling.styles import MeanStyles, truncate_styles
from tests.trained import checkpoint


def styled(*words: str) -> Sampler:
    return from_checkpoint(checkpoint("model=gan", *words), "cpu")


def gan_of(sampler: Sampler) -> GAN:
    assert isinstance(sampler.model, GAN)
    return sampler.model


@pytest.mark.parametrize("network", ["slim", "stylegan2"])
def test_decoding_is_drawing_the_style_of_z(network: str) -> None:
    model = gan_of(styled("model.conditional=true", f"model/network={network}"))
    z, labels = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 3])
    w = model.style(z, labels)
    assert torch.equal(model.draw(w), model.decode(z, labels))
    layers = w.unsqueeze(1).repeat(1, model.num_styles, 1)
    assert torch.equal(model.draw(layers), model.decode(z, labels))
    for layer in range(model.num_styles):
        changed = layers.clone()
        changed[:, layer] += 1
        assert not torch.equal(model.draw(changed), model.draw(w)), "every layer uses its style"


def test_the_mean_of_a_class_is_that_of_its_styles() -> None:
    model = gan_of(styled("model.conditional=true"))
    means = MeanStyles(model, torch.device("cpu")).of(torch.tensor([7, 0, 7]))
    w = model.style(Noise.of_first(4000, seed=1).normal(4), torch.full((4000,), 7))
    error = w.std(0) * (1 / 4000 + 1 / 4096) ** 0.5
    assert ((means[0] - w.mean(0)).abs() < 5 * error).all()
    assert torch.equal(means[0], means[2])
    assert ((means[1] - w.mean(0)).abs() > 5 * error).any()


def test_truncation_keeps_psi_of_the_distance_from_the_mean() -> None:
    w, mean = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    assert torch.equal(truncate_styles(w, mean, 1.0), w)
    torch.testing.assert_close(truncate_styles(w, mean, 0.25) - mean, 0.25 * (w - mean))
    layers = torch.stack([w, 2 * w], dim=1)
    torch.testing.assert_close(truncate_styles(layers, mean, 0.5)[:, 1], mean + 0.5 * (2 * w - mean))


@pytest.mark.parametrize("network", ["slim", "stylegan2"])
def test_psi_1_changes_nothing_and_psi_0_draws_one_image_per_class(network: str) -> None:
    sampler = styled("model.conditional=true", f"model/network={network}")
    assert torch.equal(sampler.sample(12, truncation_psi=1.0), sampler.sample(12))
    same = sampler.sample(12, truncation_psi=0.0)
    torch.testing.assert_close(same[10:], same[:2])
    assert len({image.numpy().tobytes() for image in same[:10]}) == 10
    rows = sampler.interpolate(3, 2, classes=[4], truncation_psi=0.0)
    torch.testing.assert_close(rows, same[4].expand_as(rows))


def test_a_model_without_a_mapping_network_is_told_how_to_truncate() -> None:
    unstyled = styled()
    gan_of(unstyled).generator = torch.nn.Linear(4, 3)
    for sampler in (from_checkpoint(checkpoint("model=vae"), "cpu"), unstyled):
        with pytest.raises(UserError, match=r"(?s)no mapping network.*truncation=1\.0"):
            sampler.stream(1, truncation_psi=0.7)
    with pytest.raises(UserError, match="0 or more"):
        styled().stream(1, truncation_psi=-1.0)
