"""Animations that end with a given frame, or where they began."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.models.sequence import SequenceModel
from genimg.sampling import endings
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from tests.trained import checkpoint


def sampler_of(model: str, *words: str) -> Sampler:
    return from_checkpoint(checkpoint(f"model={model}", "data=moving_digits", "data.num_frames=5", *words), "cpu", ())


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return sampler_of("rnn")


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not need a good descent."""
    monkeypatch.setattr(endings, "STEPS", 3)


def images(sampler: Sampler, count: int, seed: int) -> torch.Tensor:
    return 2 * torch.rand(count, *sampler.image_shape, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.usefixtures("few_steps")
def test_a_sequence_ends_with_the_end(sampler: Sampler) -> None:
    start, end = images(sampler, 2, 0), images(sampler, 2, 1)
    drawn = sampler.sample(2, start=start, end=end, num_frames=6, futures=2).unflatten(0, (2, 2))
    assert drawn.shape[2] == 6
    for future in range(2):
        torch.testing.assert_close(drawn[:, future, 0], start)
        torch.testing.assert_close(drawn[:, future, -1], end)
    assert not torch.allclose(drawn[:, 0, 1], drawn[:, 1, 1])
    shared = sampler.sample(2, start=start, end=end[:1], num_frames=6)
    torch.testing.assert_close(shared[:, -1], end[:1].expand(2, *end.shape[1:]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_latents_lead_to_the_end(sampler: Sampler, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A frame that the model draws is nearly the last one, before the rest is added."""
    start = 0.5 * images(sampler, 4, seed)
    end = sampler.sample(4, start=start, seed=9, temperature=0.3, num_frames=6)[:, -1]
    drawn: list[torch.Tensor] = []
    roll_out = cast(SequenceModel, sampler.model).roll_out

    def recorded(*given: Any) -> Iterator[torch.Tensor]:
        pieces = list(roll_out(*given))
        drawn.append(pieces[-1][:, -1])
        return iter(pieces)

    monkeypatch.setattr(sampler.model, "roll_out", recorded)
    sampler.sample(4, start=start, temperature=0.3, num_frames=6)
    sampler.sample(4, start=start, temperature=0.3, num_frames=6, end=end)
    free, led = ((frames - end).square().mean((1, 2, 3)).median() for frames in drawn)  # a descent can end early
    assert led < 0.1 * free


def test_what_is_added_grows_with_the_square_of_the_time(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "STEPS", 0)  # the latents are those of the samples
    start, end = 0.1 * images(sampler, 2, 0), 0.1 * images(sampler, 2, 1)
    free = sampler.sample(2, start=start, num_frames=5)
    added = sampler.sample(2, start=start, end=end, num_frames=5) - free
    for time in range(5):
        expected = (time / 4) ** 2 * (end - free[:, -1])
        torch.testing.assert_close(added[:, time], expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("few_steps")
def test_all_frames_have_values_from_minus_one_to_one(sampler: Sampler) -> None:
    start = images(sampler, 2, 0)
    assert sampler.sample(2, start=start, end=-torch.ones_like(start), num_frames=4).abs().max() <= 1


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("given", [1, 2])
def test_the_first_frame_follows_the_last_of_a_loop(given: int) -> None:
    sampler = sampler_of("rnn", f"data.given_frames={given}")
    levels = torch.randint(256, (2, *sampler.start_shape), generator=torch.Generator().manual_seed(0))
    start = levels / 127.5 - 1  # as a model keeps them, because a descent enlarges any difference
    loop = sampler.sample(2, start=start, loop=True, num_frames=6)
    led = sampler.sample(2, start=start, end=start[:, 0], num_frames=7)
    torch.testing.assert_close(loop, led[:, :6])
    cast(SequenceModel, sampler.model).keep_starts(start)
    torch.testing.assert_close(sampler.sample(2, loop=True, num_frames=6), loop, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("model", "options", "key"),
    [
        ("rnn", {"loop": True, "end": torch.zeros(1, 1, 8, 8)}, "loop"),
        ("rnn", {"end": torch.zeros(3, 1, 8, 8)}, "end"),
        ("rnn", {"end": torch.zeros(2, 1, 8, 9)}, "end"),
        ("rnn", {"end": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}, "end"),
        ("convlstm", {"loop": True}, "loop"),
        ("gan", {"loop": True}, "loop"),
        ("gan", {"end": torch.zeros(1, 1, 8, 8)}, "end"),
    ],
)
def test_what_cannot_end_is_one_message(model: str, options: dict[str, Any], key: str) -> None:
    sampler = sampler_of(model) if model != "gan" else from_checkpoint(checkpoint("model=gan"), "cpu", ())
    with pytest.raises(UserError) as mistake:
        sampler.sample(2, **options)
    assert mistake.value.key == key


@pytest.mark.usefixtures("few_steps")
def test_the_command_reads_the_end(sampler: Sampler, tmp_path: Path) -> None:
    size = sampler.image_shape[1:]
    for name, value in (("start", 20), ("end", 220)):
        Image.fromarray(np.full(size, value, np.uint8)).save(tmp_path / f"{name}.png")
    names = {"start": str(tmp_path / "start.png"), "end": str(tmp_path / "end.png")}
    options = SampleOptions.defaults(**names, num_frames=4, frames=True)
    write_samples(sampler, options, tmp_path / "out")
    frames = sorted((tmp_path / "out" / "sequences" / "0000").iterdir())
    assert [int(np.array(Image.open(frame)).mean().round()) for frame in (frames[0], frames[-1])] == [20, 220]
