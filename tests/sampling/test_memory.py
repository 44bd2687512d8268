"""A chunk that does not fit in the memory is one message, before anything is drawn."""

import time
from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.sampling.load import from_checkpoint
from genimg.sampling.memory import LargestOperation, check_chunk
from tests.trained import checkpoint

MODELS = {"gan": [], "vae": [], "rnn": ["data=moving_digits", "data.num_frames=4"]}


@pytest.mark.parametrize("model", MODELS)
def test_the_estimate_is_that_of_the_chunk_that_is_drawn(model: str) -> None:
    """Without values, the operations have the sizes that they have with them."""
    found = from_checkpoint(checkpoint(f"model={model}", *MODELS[model]), "cpu", []).model

    def draw(drawn: Any) -> torch.Tensor:
        options = {"start": torch.zeros(16, 1, 8, 8), "num_frames": 9} if model == "rnn" else {}
        return drawn.sample(Noise.of_first(16, 0), **options)

    with LargestOperation() as largest, torch.no_grad():
        result = draw(found)
    needed = 3 * largest.bytes + 2 * result.numel() * result.element_size()
    check_chunk(found, draw, 2, "", available=needed)
    with pytest.raises(UserError, match="free on this machine"):
        check_chunk(found, draw, 2, "", available=needed - 1)


@pytest.mark.parametrize("options", [{"num_frames": 10**9}, {"futures": 10**9}])
def test_an_animation_that_exceeds_the_memory_is_refused_at_once(options: dict[str, int]) -> None:
    found = from_checkpoint(checkpoint("model=rnn", *MODELS["rnn"]), "cpu", [])
    started = time.process_time()
    with pytest.raises(UserError, match=r"GB at once.*\n.*free on this machine.*\n.*num_frames or futures"):
        found.stream(1, **options)  # pyright: ignore[reportArgumentType]
    assert time.process_time() - started < 20


def test_an_interpolation_that_exceeds_the_memory_is_refused_at_once() -> None:
    found = from_checkpoint(checkpoint("model=gan"), "cpu", [])
    with pytest.raises(UserError, match=r"interpolation that needs about"):
        found.interpolate(2, 10**10)
