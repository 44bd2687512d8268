"""Actions of samples: names, lengths, random ones, and that a trained model follows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from genimg import load
from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.data.actions import FILE
from genimg.evaluation.evaluate import EvaluateSettings, evaluate
from genimg.sampling import endings
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from tests.conftest import Answer
from tests.trained import checkpoint, run_folder

MOVES = {"down": (0, 2), "left": (-2, 0), "right": (2, 0), "up": (0, -2)}  # pixels in x and y
SIDE, SQUARE = 16, 4


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    """An untrained model of three actions, act0 to act2, whose dynamics react to them."""
    made = from_checkpoint(checkpoint("model=rnn", "data.num_frames=5", "++data.num_actions=3"), "cpu")
    model: Any = made.model
    torch.manual_seed(0)
    with torch.no_grad():
        for head in (model.dynamics.to_innovation, model.dynamics.to_motion[-1], model.dynamics.to_prior):
            head.weight.normal_(std=0.3)
    model.keep_starts(torch.rand(4, 1, 1, 8, 8) * 2 - 1)
    return made


def test_each_action_leads_to_a_frame(sampler: Sampler) -> None:
    assert sampler.sample(2, actions=["act0", "act1", "act1"]).shape[1] == 4
    assert sampler.sample(2, actions="act0").shape[1] == 2
    assert sampler.sample(2).shape[1] == 5


def test_names_numbers_and_a_tensor_mean_the_same(sampler: Sampler) -> None:
    named = sampler.sample(3, actions=["act0", "ACT2", "act1"])
    assert torch.equal(named, sampler.sample(3, actions=[0, 2, 1]))
    assert torch.equal(named, sampler.sample(3, actions=torch.tensor([[0, 2, 1]] * 3)))


def test_a_roll_out_takes_the_actions_of_each_piece(sampler: Sampler) -> None:
    start = torch.rand(2, *sampler.start_shape) * 2 - 1
    requested = sampler.sample(2, start=start, actions=[0, 2, 2])[:, 1:]
    rolled = sampler.roll_out(start)
    pieces = torch.cat([rolled.advance(1, ["act0"]), rolled.advance(2, "act2")], dim=1)
    torch.testing.assert_close(pieces, requested, atol=1e-4, rtol=0)
    rolled = sampler.roll_out(start)
    random = torch.cat([rolled.advance(1), rolled.advance(3)], dim=1)
    torch.testing.assert_close(random, sampler.sample(2, start=start)[:, 1:], atol=1e-4, rtol=0)
    for actions, key in ((["up"], "actions"), ([0, 1], "num_frames"), (torch.tensor(1), "actions")):
        with pytest.raises(UserError) as mistake:
            rolled.advance(1, actions)
        assert mistake.value.key == key


def test_a_sequence_with_actions_can_end_where_it_began(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "STEPS", 3)
    start = torch.rand(2, *sampler.start_shape) * 2 - 1
    for actions in ([0, 2, 2], None):
        drawn = sampler.sample(2, start=start, end=start[:, 0], actions=actions, num_frames=4)
        torch.testing.assert_close(drawn[:, -1], start[:, 0])
    watched: list[Tensor] = []
    model: Any = sampler.model
    last_frame = model.last_frame
    monkeypatch.setattr(
        sampler.model, "last_frame", lambda state, noise, led: watched.append(led) or last_frame(state, noise, led)
    )
    assert sampler.sample(2, start=start, loop=True, actions=[0, 1]).shape[1] == 3
    assert watched[0].tolist() == [[0, 1, 1]] * 2


def test_an_action_changes_the_frames_from_the_one_that_it_leads_to(sampler: Sampler) -> None:
    first, second = sampler.sample(2, actions=[0, 0, 1]), sampler.sample(2, actions=[0, 0, 2])
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3], second[:, 3])


def test_the_last_action_is_repeated_up_to_the_end(sampler: Sampler) -> None:
    held = sampler.sample(2, actions=[0, 2], num_frames=6)
    assert torch.equal(held, sampler.sample(2, actions=[0, 2, 2, 2, 2]))


def test_each_start_may_have_its_own_actions(sampler: Sampler) -> None:
    own = torch.tensor([[0, 1], [2, 2], [1, 0]])
    drawn = sampler.sample(3, actions=own, futures=2).unflatten(0, (3, 2))
    for row in range(3):
        alone = sampler.sample(3, actions=own[row].tolist(), futures=2).unflatten(0, (3, 2))
        torch.testing.assert_close(drawn[row], alone[row])


def test_random_actions_are_a_function_of_the_seed_and_occur_as_in_training(sampler: Sampler) -> None:
    model: Any = sampler.model
    model.keep_actions(torch.tensor([0.7, 0.0, 0.3]))
    assert torch.equal(sampler.sample(2, seed=1), sampler.sample(2, seed=1))
    drawn = model.actions.draw(Noise.of_first(1000, 0), 8)
    assert torch.equal(drawn[:, :3], model.actions.draw(Noise.of_first(1000, 0), 3))
    assert not torch.equal(drawn, model.actions.draw(Noise.of_first(1000, 0).of_future(1), 8))
    shares = drawn.flatten().bincount(minlength=3) / drawn.numel()
    torch.testing.assert_close(shares, torch.tensor([0.7, 0.0, 0.3]), atol=0.02, rtol=0)  # 4 standard errors


@pytest.mark.parametrize(
    ("options", "key", "part"),
    [
        ({"actions": ["act0", "atc1"]}, "actions", "did you mean act1?"),
        ({"actions": [3]}, "actions", "0 to 2"),
        ({"actions": []}, "actions", "at least one action"),
        ({"actions": ["act0"] * 4, "num_frames": 3}, "num_frames", "5 or more"),
        ({"actions": torch.zeros(1, 2, dtype=torch.int64)}, "actions", "int64 (2, M)"),
        ({"actions": torch.full((2, 2), 3)}, "actions", "0 to 2"),
    ],
)
def test_a_mistake_is_one_message(sampler: Sampler, options: dict[str, Any], key: str, part: str) -> None:
    with pytest.raises(UserError) as mistake:
        sampler.sample(2, **options)
    assert mistake.value.key == key and part in str(mistake.value)


@pytest.mark.parametrize("words", [["model=rnn"], ["model=convlstm"], ["model=gan"]])
def test_a_model_without_actions_takes_none(words: list[str]) -> None:
    made = from_checkpoint(checkpoint(*words), "cpu")
    with pytest.raises(UserError, match="actions: got"):
        made.sample(2, actions=["left"])


def test_the_command_writes_clips_of_the_actions(sampler: Sampler, tmp_path: Path) -> None:
    options = SampleOptions.defaults(actions=["act0", "act1"], num_images=2, frames=True)
    write_samples(sampler, options, tmp_path / "out")
    assert len(list((tmp_path / "out" / "sequences" / "0000").iterdir())) == 3
    with pytest.raises(UserError, match="did you mean act1"):
        write_samples(sampler, SampleOptions.defaults(actions=["atc1"]), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def squares(root: Path, count: int, frames: int) -> Path:
    """Clips of a white square that moves by two pixels in the direction of each action."""
    generator = torch.Generator().manual_seed(0)
    lines = ["clip,frame,action"]
    for clip in range(count):
        (root / f"{clip:03}").mkdir(parents=True)
        x, y = torch.randint(4, 9, (2,), generator=generator).tolist()
        for frame in range(frames):
            image = Image.new("L", (SIDE, SIDE))
            image.paste(255, (x, y, x + SQUARE, y + SQUARE))
            image.save(root / f"{clip:03}" / f"{frame}.png")
            if frame < frames - 1:
                name = list(MOVES)[int(torch.randint(4, (), generator=generator))]
                lines.append(f"{clip:03},{frame},{name}")
                x, y = x + MOVES[name][0], y + MOVES[name][1]
    (root / FILE).write_text("\n".join(lines), encoding="utf-8")
    return root


def centres(frames: Tensor) -> Tensor:
    """Centroids (..., 2) in x and y of the intensity of frames (..., 1, H, W)."""
    weights = (frames.squeeze(-3) + 1).clamp_min(0)
    places = torch.arange(SIDE, dtype=weights.dtype)
    total = weights.sum((-2, -1))
    return (
        torch.stack([(weights.sum(-2) * places).sum(-1), (weights.sum(-1) * places).sum(-1)], dim=-1) / total[..., None]
    )


@pytest.mark.slow
def test_a_model_trained_on_moves_follows_the_requested_ones(tmp_path: Path, command: Callable[..., Answer]) -> None:
    root = squares(tmp_path / "clips", count=200, frames=3)
    words = ["model=rnn", "data=frame_folder", f"data.root={root}", f"data.image_size={SIDE}", "data.channels=1"]
    small = ["data.num_frames=3", "model.width=8", "model.layers=1", "model.hidden=64", "model.features=32"]
    run = run_folder(tmp_path / "run", *words, *small, "budget.images=3200", "budget.minutes=null", "callbacks=none")
    sampler = load(run, device="cpu")
    assert sampler.actions == tuple(MOVES)
    for name, move in MOVES.items():
        drawn = centres(sampler.sample(8, actions=[name, name]))
        moved = (drawn[:, -1] - drawn[:, 0]).mean(0)
        torch.testing.assert_close(moved, 2.0 * torch.tensor(move), atol=1.0, rtol=0, msg=f"{name}: {moved}")
    turn = centres(sampler.sample(8, actions=["up", "right"])).mean(0).diff(dim=0)
    torch.testing.assert_close(turn, torch.tensor([[0.0, -2.0], [2.0, 0.0]]), atol=0.7, rtol=0)

    settings = {"num_images": 20, "features": "random", "weights": None, "importance_samples": 2, "seed": 0}
    task = {"run": str(run), "checkpoint": "best", "device": "cpu", "root": None, "cache": False, "trust": []}
    samples = {"temperature": 1.0, "guidance": None, "truncation": None, "truncation_psi": None}
    evaluate(EvaluateSettings(**settings, **samples, **task, out=str(tmp_path / "evaluation"), outputs="outputs"))
    content = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    (error,) = (one for one in content["figures"] if one["name"] == "mse, mean")
    assert error["value"] < 0.25 * error["floor"]  # it is given the actions of the test clips

    answer = command("sample", f"run={run}", "actions=[up,lfet]", "out=out")
    assert answer.code == 2 and "did you mean left?" in answer.err and not (tmp_path / "out").exists()
