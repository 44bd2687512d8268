"""Animations drawn piece by piece: they are those of one call, and a state can be saved and branched."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler
from tests.trained import checkpoint

WORDS = ["data=moving_digits", "data.num_frames=5", "data.given_frames=2"]


@pytest.fixture(scope="module", params=["rnn", "phydnet", "convlstm data.given_frames=1", "rnn model.conditional=true"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return from_checkpoint(checkpoint(*WORDS, *f"model={request.param}".split()), "cpu", ())


def start(sampler: Sampler) -> torch.Tensor:
    return 2 * torch.rand(2, *sampler.start_shape, generator=torch.Generator().manual_seed(0)) - 1


def classes(sampler: Sampler) -> list[int] | None:
    return [3, 7] if sampler.classes else None


def test_pieces_are_the_frames_of_one_call(sampler: Sampler) -> None:
    whole = sampler.sample(2, start=start(sampler), classes=classes(sampler), seed=4, num_frames=25)
    whole = whole[:, sampler.model.given_frames :]
    rolled = sampler.roll_out(start(sampler), classes(sampler), seed=4)
    pieces = torch.cat([rolled.advance(count) for count in (1, 20)], dim=1)
    torch.testing.assert_close(pieces, whole[:, :21], atol=1e-4, rtol=0)
    assert rolled.frames == 21


def test_a_saved_state_goes_on_as_if_it_had_not_been_saved(sampler: Sampler, tmp_path: Path) -> None:
    rolled = sampler.roll_out(start(sampler), classes(sampler), seed=4, temperature=0.5)
    rolled.advance(3)
    rolled.save(tmp_path / "state.pt")
    size = (tmp_path / "state.pt").stat().st_size
    again = sampler.continue_from(tmp_path / "state.pt")
    assert torch.equal(again.advance(40), rolled.advance(40))
    rolled.save(tmp_path / "state.pt")
    assert (tmp_path / "state.pt").stat().st_size == size


@pytest.mark.slow
def test_ten_thousand_frames_stay_finite_in_constant_memory() -> None:
    """From a blank image and untrained, so that nothing bounds the motion: without limits this one overflows."""
    sampler = from_checkpoint(checkpoint("model=rnn", "data=moving_digits", "data.image_size=8"), "cpu", ())
    rolled = sampler.roll_out(torch.zeros(2, *sampler.start_shape), seed=0)
    peaks = []
    for _ in range(10):
        assert rolled.advance(1000).isfinite().all()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[-1] - peaks[1] < 2**14, "16 MiB"


def test_a_part_of_a_frame_is_one_message(sampler: Sampler) -> None:
    for count in (0, 2.5):
        with pytest.raises(UserError) as mistake:
            sampler.roll_out(start(sampler), classes(sampler)).advance(count)  # pyright: ignore[reportArgumentType]
        assert mistake.value.key == "num_frames"


def test_a_branch_has_the_same_past_and_another_future() -> None:
    sampler = from_checkpoint(checkpoint("model=rnn", *WORDS), "cpu", ())
    rolled = sampler.roll_out(start(sampler), seed=4)
    rolled.advance(3)
    same, other = rolled.branch(4).advance(4), rolled.branch(5).advance(4)
    assert torch.equal(same, rolled.advance(4))
    assert not torch.allclose(same, other)


@pytest.fixture
def saved(sampler: Sampler, tmp_path: Path) -> Path:
    rolled = sampler.roll_out(start(sampler), classes(sampler))
    rolled.advance(1)
    rolled.save(tmp_path / "state.pt")
    return tmp_path / "state.pt"


def test_files_that_are_no_state_are_one_message(sampler: Sampler, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no state")
    torch.save([1], tmp_path / "list.pt")
    content = torch.load(saved, weights_only=True)
    changes: list[dict[str, Any]] = [
        {"tensors": [torch.zeros(1, 2)]}, {"tensors": [torch.zeros(2**40, 0)]}, {"tensors": []},
        {"frames": -1}, {"frames": 2**62}, {"frames": 1.5}, {"frames": None},
        {"temperature": -1.0}, {"temperature": float("nan")}, {"temperature": "1"}, {"seed": -3},
    ]  # fmt: skip
    for number, change in enumerate(changes):
        torch.save(content | change, tmp_path / f"{number}.pt")
    for name in ("text.pt", "list.pt", "missing.pt", "", *(f"{number}.pt" for number in range(len(changes)))):
        with pytest.raises(UserError) as mistake:
            sampler.continue_from(tmp_path / name)
        assert mistake.value.key == "path"
    with pytest.raises(UserError) as mistake:
        sampler.continue_from(saved).save(tmp_path)
    assert mistake.value.key == "path"


def test_a_state_of_another_model_is_one_message(sampler: Sampler, saved: Path) -> None:
    with torch.no_grad():
        next(sampler.model.parameters()).add_(1)
    with pytest.raises(UserError, match="another model"):
        sampler.continue_from(saved)
    with torch.no_grad():
        next(sampler.model.parameters()).sub_(1)


def test_starts_of_another_shape_and_models_of_still_images_are_one_message(sampler: Sampler) -> None:
    for number in (0, 1):
        with pytest.raises(UserError, match="clips of shape"):
            sampler.roll_out(torch.zeros(number, 1, 1, 1, 9, 8))
    with pytest.raises(UserError, match="floating-point"):
        sampler.roll_out(torch.zeros(1, *sampler.start_shape, dtype=torch.uint8))
    double = sampler.roll_out(torch.zeros(1, *sampler.start_shape).double(), [3] if sampler.classes else None)
    assert double.advance(1).dtype == torch.float32
    with pytest.raises(UserError, match="still images"):
        from_checkpoint(checkpoint("model=gan"), "cpu", ()).roll_out(torch.zeros(1, 1, 8, 8))
