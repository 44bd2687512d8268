"""Styles: drawing in two parts, the mean of each class, and truncation towards it."""

from pathlib import Path

import pytest
import torch

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.gan import GAN
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from genimg.sampling.source import CHUNK
from genimg.sampling.styles import MeanStyles, truncate_styles
from tests.sampling.test_writer import files, pixels, tile
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


def test_mixed_images_have_the_coarse_styles_of_their_row_and_the_fine_ones_of_their_column() -> None:
    sampler = styled()
    model = gan_of(sampler)
    seeds, others = list(range(3)), [7, *range(20, 20 + CHUNK)]
    mixed = sampler.mix(others, seeds=seeds, mix_layer=1)
    assert mixed.shape == (3, CHUNK + 1, *sampler.image_shape)
    z = Noise(torch.tensor([2, 7]), torch.zeros(2, dtype=torch.int64)).normal(4)
    w = model.style(z)
    layers = torch.stack([w[0], *[w[1]] * (model.num_styles - 1)])
    torch.testing.assert_close(mixed[2, 0], model.draw(layers[None])[0])
    same = sampler.mix([1], seeds=[1], truncation_psi=0.5)
    torch.testing.assert_close(same[0], sampler.sample(seeds=[1], truncation_psi=0.5))


def test_the_table_has_the_samples_in_its_first_row_and_column(tmp_path: Path) -> None:
    sampler = styled()
    sheet = write_samples(sampler, SampleOptions.defaults(seeds=[1, 2], mix_seeds=[5, 6, 7]), tmp_path)
    assert files(tmp_path) == ["mixed.png"]
    assert pixels(sheet).shape[1:] == (3 * 66 + 2, 4 * 66 + 2)
    for cell, seed in (((0, 3), 7), ((2, 0), 2)):
        expected = to_uint8(sampler.sample(seeds=[seed]))[0]
        assert (tile(sheet, *cell, 8, 8, 8).int() - expected.int()).abs().max() <= 1
    for layer in (0, 9):
        with pytest.raises(UserError, match="mix_layer"):
            sampler.mix([1], seeds=[2], mix_layer=layer)
    with pytest.raises(UserError, match="mix_seeds"):
        write_samples(sampler, SampleOptions.defaults(mix_layer=1), tmp_path / "none")
    with pytest.raises(UserError, match="at most 30 rows"):
        write_samples(sampler, SampleOptions.defaults(mix_seeds=["0-30"]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_model_without_a_mapping_network_is_told_how_to_truncate() -> None:
    unstyled = styled()
    gan_of(unstyled).generator = torch.nn.Linear(4, 3)
    for sampler in (from_checkpoint(checkpoint("model=vae"), "cpu"), unstyled):
        with pytest.raises(UserError, match=r"(?s)no mapping network.*truncation=1\.0"):
            sampler.stream(1, truncation_psi=0.7)
    with pytest.raises(UserError, match="0 or more"):
        styled().stream(1, truncation_psi=-1.0)
