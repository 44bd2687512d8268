"""Latents of images, and images of latents, by `Sampler.encode` and `Sampler.decode`."""

from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler
from genimg.sampling.source import CHUNK
from tests.trained import checkpoint

COUNT = CHUNK + 2


def made(*words: str) -> Sampler:
    return from_checkpoint(checkpoint("data=digits", *words), "cpu", ())


def images() -> torch.Tensor:
    return torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("words", [["model=vae"], ["model=vae", "model.conditional=true"], ["model=draw"]])
def test_what_is_encoded_and_decoded_is_the_reconstruction(words: list[str]) -> None:
    sampler = made(*words)
    classes = [index % 10 for index in range(COUNT)] if sampler.classes and "model.conditional=true" in words else None
    latents = sampler.encode(images(), classes)
    assert latents.shape == (COUNT, sampler.model.latent_dim)
    torch.testing.assert_close(sampler.decode(latents, classes), sampler.reconstruct(images(), classes))
    assert not torch.equal(latents[0], latents[1])


def test_latents_of_a_gan_are_those_of_its_noise() -> None:
    sampler = made("model=gan")
    model: Any = sampler.model
    z = torch.randn(3, model.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(sampler.decode(z), model.decode(z))


def test_what_has_no_encoder_or_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match="project finds latents"):
        made("model=gan").encode(images())
    with pytest.raises(UserError, match=r"latents \(N, 4\)"):
        made("model=vae").decode(torch.zeros(2, 5))
    with pytest.raises(UserError, match="one for all 18"):
        made("model=vae", "model.conditional=true").encode(images())
    with pytest.raises(UserError, match="does not decode"):
        made("model=pixel_rnn").decode(torch.zeros(2, 4))
