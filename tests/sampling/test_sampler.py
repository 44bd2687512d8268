"""The sampler: seeds, classes, truncation, interpolation, and options that a model does not support."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.sampling.sampler import Sampler, StreamOptions
from genimg.sampling.source import CHUNK
from tests.stub_models import StubAutoencoder, StubGenerator, StubSequences

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
    assert sampler.class_choice(["sneaker", 0]).grouped(5) == [0, 2, 4, 1, 3]
    drawn = sampler.labels(None, 6)
    assert drawn is not None
    assert drawn.tolist() == [0, 1, 2, 0, 1, 2]


def test_truncation_and_low_temperature_reduce_the_variation() -> None:
    choices: list[StreamOptions] = [{}, {"truncation": 0.5}, {"truncation": 0.1}, {"temperature": 0.0}]
    deviation = [image_sampler().sample(64, **options).std(0).mean() for options in choices]
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
    torch.testing.assert_close(rows[:, 0], images[sampler.class_choice(None).grouped(6)])


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


@pytest.mark.parametrize("given", [False, True])
def test_a_sequence_does_not_depend_on_what_else_is_drawn(given: bool) -> None:
    starts = image_sampler().sample(3 * CHUNK) if given else None

    def draw(count: int, futures: int, num_frames: int = 5) -> torch.Tensor:
        start = None if starts is None else starts[:count]
        clips = sequence_sampler().sample(count, seed=3, start=start, futures=futures, num_frames=num_frames)
        return clips.unflatten(0, (count, futures))

    most = draw(3 * CHUNK, futures=3)
    for count, futures in ((2, 1), (CHUNK, 2), (CHUNK + 1, 1)):
        torch.testing.assert_close(draw(count, futures), most[:count, :futures])
    torch.testing.assert_close(draw(2, 1, num_frames=9)[:, :, :5], most[:2, :1])


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
def test_weights_that_give_no_finite_images_are_an_error(draw: Any) -> None:
    sampler = Sampler(StubAutoencoder(), SHAPE)
    decode = sampler.model.decode
    sampler.model.decode = lambda z, labels=None: decode(z, labels) * math.nan  # pyright: ignore
    with pytest.raises(UserError, match="not finite"):
        draw(sampler)


def test_interpolation_and_reconstruction_of_an_unsuitable_model_are_errors() -> None:
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
