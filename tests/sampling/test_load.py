"""Sampling: seeds, classes, truncation, interpolation, and options that a model does not support."""

from __future__ import annotations

import doctest
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import genimg
from genimg.checkpoints.read import FORMAT
from genimg.common.errors import UserError
from genimg.sampling import load as sampling
from genimg.sampling.inputs import class_numbers
from genimg.sampling.latents import slerp, truncate
from genimg.sampling.load import checkpoint_file, from_checkpoint, load, pick_device
from genimg.sampling.sampler import CHUNK, Sampler
from tests.stub_models import StubAutoencoder, StubGenerator, StubSequences
from tests.trained import checkpoint

SHAPE = (1, 8, 8)
NAMES = ("shirt", "trouser", "sneaker")


def image_sampler(**options: Any) -> Sampler:
    return Sampler(StubGenerator(), SHAPE, **options)


def sequence_sampler(**options: Any) -> Sampler:
    return Sampler(StubSequences(), SHAPE, num_frames=5, **options)


@pytest.mark.parametrize("make", [image_sampler, sequence_sampler])
def test_image_i_does_not_depend_on_how_many_are_drawn(make: Any) -> None:
    many = make().sample(3 * CHUNK + 5, seed=7)
    assert len(many) == 3 * CHUNK + 5
    for fewer in (1, CHUNK - 1, CHUNK, 2 * CHUNK + 1):
        assert torch.equal(make().sample(fewer, seed=7), many[:fewer])


@pytest.mark.parametrize("make", [image_sampler, sequence_sampler])
def test_seeds_and_images_differ(make: Any) -> None:
    images = torch.cat([make().sample(2 * CHUNK, seed=seed) for seed in (0, 1, 2)])
    assert len({image.numpy().tobytes() for image in images}) == 6 * CHUNK


def test_sampling_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    image_sampler().sample(3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_chunk_is_drawn_only_when_it_is_requested() -> None:
    model = StubGenerator()
    chunks = Sampler(model, SHAPE).stream(10**9)
    assert model.calls == 0
    assert len(next(chunks)) == CHUNK
    assert model.calls == 1


def test_samples_are_plain_tensors_without_gradients() -> None:
    assert not image_sampler().sample(2).is_inference()
    assert not image_sampler().sample(2).requires_grad


def test_the_model_is_put_into_eval_mode() -> None:
    model = StubGenerator().train()
    assert not Sampler(model, SHAPE).model.training


def test_classes_are_drawn_in_turn() -> None:
    sampler = image_sampler(classes=NAMES)
    images = sampler.sample(CHUNK + 4, classes=["sneaker", 0])
    lit = [int((image[0] == 1).all(1).nonzero()[0]) for image in images]
    assert lit == [2, 0] * ((CHUNK + 4) // 2)
    assert sampler.grouped_by_class(["sneaker", 0], 5) == [0, 2, 4, 1, 3]
    drawn = sampler.labels(None, 6)
    assert drawn is not None
    assert drawn.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_class_is_found_by_name_first_and_then_by_number() -> None:
    assert class_numbers([3, "7"], [str(digit) for digit in range(10)]) == [3, 7]
    assert class_numbers([10], ["10", "20", "30"]) == [0]
    assert class_numbers([1], ["10", "20", "30"]) == [1]
    assert class_numbers("Trouser", NAMES) == [1]
    assert class_numbers(["a", "A"], ["A", "a"]) == [1, 0]
    with pytest.raises(UserError, match="did you mean sneaker"):
        class_numbers(["sneeker"], NAMES)
    with pytest.raises(UserError, match="0 to 2"):
        class_numbers([3], NAMES)
    with pytest.raises(UserError, match="at least one"):
        class_numbers([], NAMES)


def test_truncated_latents_follow_the_truncated_normal_distribution() -> None:
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    for threshold in (0.5, 1.0, 2.0):
        cut = truncate(z, threshold)
        assert cut.abs().max() <= threshold
        kept = z[z.abs() <= threshold]  # the result of resampling
        for power in (1, 2, 4):
            error = cut.abs().pow(power).std() * math.sqrt(1 / len(cut) + 1 / len(kept))
            assert abs(cut.abs().pow(power).mean() - kept.abs().pow(power).mean()) < 5 * error
        assert (cut[z.argsort()].diff() >= 0).all()
    torch.testing.assert_close(truncate(z, 20.0), z)


def test_truncation_and_low_temperature_reduce_the_variation() -> None:
    deviation = [
        image_sampler().sample(64, **options).std(0).mean()
        for options in ({}, {"truncation": 0.5}, {"truncation": 0.1}, {"temperature": 0.0})
    ]
    assert all(wider > narrower for wider, narrower in pairwise(deviation))
    assert deviation[-1] == 0


def test_the_ends_of_an_interpolation_are_the_images_of_the_latents() -> None:
    choices: list[dict[str, Any]] = [{}, {"truncation": 0.7}, {"temperature": 0.5}]
    for options in choices:
        rows = image_sampler().interpolate(CHUNK + 3, 4, seed=3, **options)
        images = image_sampler().sample(CHUNK + 3, seed=3, **options)
        assert rows.shape == (CHUNK + 3, 5, *SHAPE)
        torch.testing.assert_close(rows[:, 0], images)
        torch.testing.assert_close(rows[:, -1], images.roll(-1, 0))


def test_an_interpolation_has_the_class_order_of_the_sheet() -> None:
    sampler = image_sampler(classes=NAMES)
    images = sampler.sample(6)
    rows = sampler.interpolate(6, 3)
    torch.testing.assert_close(rows[:, 0], images[sampler.grouped_by_class(None, 6)])


def test_interpolated_latents_have_a_typical_length() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, generator=generator)
    t = torch.linspace(0, 1, 9)
    lengths = slerp(a, b, t).norm(dim=1)
    torch.testing.assert_close(lengths, (1 - t) * a.norm() + t * b.norm())
    assert ((1 - 0.5) * a + 0.5 * b).norm() < 0.8 * lengths[4], "a straight line would not"
    steps = torch.nn.functional.cosine_similarity(slerp(a, b, t)[1:], slerp(a, b, t)[:-1])
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_parallel_and_opposite_latents_are_interpolated_linearly() -> None:
    t = torch.linspace(0, 1, 3)
    for a, b in ((2.0, 4.0), (1.0, -1.0), (0.0, 1.0)):
        path = slerp(torch.tensor([a]), torch.tensor([b]), t)
        assert path.flatten().tolist() == [a, (a + b) / 2, b]


def test_the_futures_of_a_start_share_it_and_then_differ() -> None:
    starts = image_sampler().sample(2)
    clips = sequence_sampler().sample(2, start=starts, futures=3, num_frames=7)
    assert clips.shape == (6, 7, *SHAPE)
    torch.testing.assert_close(clips[:, 0], starts.repeat_interleave(3, 0))
    assert len({clip[1].numpy().tobytes() for clip in clips}) == 6


def test_futures_without_given_starts_share_a_start_of_the_model() -> None:
    clips = sequence_sampler().sample(CHUNK + 1, futures=2)
    assert clips.shape == (2 * CHUNK + 2, 5, *SHAPE)
    assert torch.equal(clips[0::2, 0], clips[1::2, 0])
    more = sequence_sampler().sample(3, futures=4)
    assert torch.equal(more.unflatten(0, (3, 4))[:, :2].flatten(0, 1), clips[:6]), "more futures keep the first"


def test_reconstructions_keep_the_order() -> None:
    images = image_sampler().sample(CHUNK + 3)
    assert torch.equal(Sampler(StubAutoencoder(), SHAPE).reconstruct(images), -images)


@pytest.mark.parametrize(
    ("sampler", "options", "key"),
    [
        (image_sampler, {"num_images": 0}, "num_images"),
        (image_sampler, {"seed": -1}, "seed"),
        (image_sampler, {"temperature": float("nan")}, "temperature"),
        (image_sampler, {"truncation": 0.0}, "truncation"),
        (image_sampler, {"classes": [0]}, "classes"),
        (image_sampler, {"futures": 2}, "futures"),
        (image_sampler, {"num_frames": 9}, "num_frames"),
        (image_sampler, {"start": torch.zeros(1, *SHAPE)}, "start"),
        (sequence_sampler, {"truncation": 1.0}, "truncation"),
        (sequence_sampler, {"futures": 0}, "futures"),
        (sequence_sampler, {"num_frames": 1}, "num_frames"),
        (sequence_sampler, {"start": torch.zeros(2, *SHAPE)}, "start"),
    ],
)
def test_an_unsupported_option_is_an_error_before_anything_is_drawn(sampler: Any, options: Any, key: str) -> None:
    with pytest.raises(UserError) as caught:
        sampler().stream(**{"num_images": 1, **options})
    assert caught.value.key == key


@pytest.mark.parametrize("draw", [lambda s: s.sample(2), lambda s: s.interpolate(2, 2)])
def test_broken_weights_are_told_and_make_no_images(draw: Any) -> None:
    sampler = Sampler(StubAutoencoder(), SHAPE)
    decode = sampler.model.decode
    sampler.model.decode = lambda z, labels=None: decode(z, labels) * math.nan  # pyright: ignore
    with pytest.raises(UserError, match="not finite"):
        draw(sampler)


def test_interpolation_and_reconstruction_need_a_model_that_can() -> None:
    for make, call in ((sequence_sampler, "interpolate"), (image_sampler, "reconstruct")):
        with pytest.raises(UserError) as caught:
            make().interpolate(4, 2) if call == "interpolate" else make().reconstruct(torch.zeros(1, *SHAPE))
        assert caught.value.key == call
    with pytest.raises(UserError, match="num_images"):
        image_sampler().interpolate(1, 8)
    with pytest.raises(UserError, match="one for all 2"):
        Sampler(StubAutoencoder(), SHAPE, classes=NAMES).reconstruct(torch.zeros(2, *SHAPE))
    with pytest.raises(UserError, match="encodes images"):  # the RNN has a `reconstruct` too, of clips
        Sampler(StubAutoencoder(), SHAPE, num_frames=5).reconstruct(torch.zeros(2, *SHAPE))


def test_given_starts_of_a_conditional_model_need_their_classes() -> None:
    starts, sampler = image_sampler().sample(3), sequence_sampler(classes=NAMES)
    choices: list[Any] = [None, ["shirt", "sneaker"]]
    for classes in choices:
        with pytest.raises(UserError, match="one for all 3") as caught:
            sampler.stream(3, start=starts, classes=classes)
        assert caught.value.key == "classes"
    assert len(sampler.sample(3, start=starts, classes=["shirt"])) == 3
    assert len(sampler.sample(3)) == 3, "the model's own starts are drawn from each class in turn"


CHECKPOINT: dict[str, Any] = {
    "format": FORMAT,
    "model": {},
    "ema": {},
    "images_seen": 1234,
    "clock": {"seconds": 1.0},
    "config": {"model": {"conditional": True}, "data": {}},
    "data": {
        "classes": list(NAMES),
        "image_shape": [1, 8, 8],
        "num_frames": None,
        "fingerprint": {"name": "garments", "count": 3, "shape": [1, 8, 8], "digest": ""},
    },
    "versions": {},
}


def run_folder(path: Path, *checkpoints: str) -> Path:
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text("task: train\n")
    for name in checkpoints:
        torch.save(CHECKPOINT, path / "checkpoints" / f"{name}.pt")
    return path


def test_load_from_a_folder_a_file_and_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "rebuild_model", lambda checkpoint, trust: StubGenerator())
    run = run_folder(tmp_path / "2026-01-02" / "03-04-05-gan-digits", "best", "last")
    expected = load(run, device="cpu").sample(3)
    assert torch.equal(load(run / "checkpoints" / "last.pt", device="cpu").sample(3), expected)
    assert torch.equal(load("last", outputs=tmp_path, device="cpu").sample(3), expected)


@pytest.mark.parametrize("documented", [genimg, load, Sampler])
def test_the_examples_in_the_docstrings_run(documented: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_folder(tmp_path / "outputs" / "2026-01-02" / "03-04-05-gan-digits")
    torch.save(checkpoint("model=gan"), run / "checkpoints" / "best.pt")
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestFinder(recurse=False).find(documented, "example", globs={})
    results = [doctest.DocTestRunner().run(one) for one in examples]
    assert sum(one.attempted for one in results) > 1
    assert sum(one.failed for one in results) == 0


def test_a_run_that_stopped_early_gives_its_last_checkpoint(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", "last")
    assert checkpoint_file(run, "best") == run / "checkpoints" / "last.pt"
    with pytest.raises(UserError, match="best or last"):
        checkpoint_file(run, "newest")
    with pytest.raises(UserError, match="a run with a checkpoint"):
        checkpoint_file(run_folder(tmp_path / "empty"))


def test_only_a_conditional_model_has_the_classes_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "rebuild_model", lambda checkpoint, trust: StubGenerator())
    assert from_checkpoint(CHECKPOINT, "cpu").classes == NAMES
    unconditional = {**CHECKPOINT, "config": {"model": {"conditional": False}}}
    assert from_checkpoint(unconditional, "cpu").classes == ()


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("gpuu", "cuda:99"):
        with pytest.raises(UserError, match="device"):
            pick_device(device)
