"""Moving images: their paths and pixels, and that a clip is a function of (draw, index)."""

from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.hashing import hash_int
from genimg.data.items import Items
from genimg.data.module import GenerativeData
from genimg.data.moving import MovingStills, reflect
from tests.data.stand_ins import Numbered

CANVAS = (1, 24, 32)


def clips_of(count: int = 300, **settings: object) -> Items:
    return MovingStills(Numbered(count), **settings).load("train", CANVAS)  # type: ignore[arg-type]


def fetch(items: Items, draw: int = 5) -> Tensor:
    return items.fetch(torch.arange(len(items)), draw)


class Squares(Numbered):
    """Images without black pixels, each of one level."""

    def load(self, part, shape):
        items = super().load(part, shape)
        items.images[:] = torch.arange(1, self.count + 1, dtype=torch.uint8).view(-1, 1, 1, 1)
        return items


def boxes(clips: Tensor) -> tuple[Tensor, ...]:
    """Top, left, height and width of the pixels that are not black, int64 (B, T) each."""
    lit = clips.amax(2) > 0  # (B, T, H, W)
    rows, columns = lit.any(3).long(), lit.any(2).long()
    return rows.argmax(2), columns.argmax(2), rows.sum(2), columns.sum(2)


def test_an_image_is_complete_and_unchanged_in_every_frame() -> None:
    clips = fetch(MovingStills(Squares(200)).load("train", CANVAS))
    assert clips.shape == (200, 16, *CANVAS)
    _, _, heights, widths = boxes(clips)
    assert bool((heights == 12).all())
    assert bool((widths == 12).all())
    levels = torch.arange(1, 201).view(-1, 1)
    assert torch.equal(clips.flatten(1).amax(1, keepdim=True).long(), levels)
    assert torch.equal((clips.long() > 0).sum((2, 3, 4)), torch.full((200, 16), 12 * 12))
    assert torch.equal(clips.long().sum((2, 3, 4)), (levels * 144).expand(-1, 16))


def test_an_image_moves_in_straight_lines_at_the_given_speed_and_bounces() -> None:
    tops, lefts, _, _ = boxes(fetch(MovingStills(Squares(200), speed=(0.05, 0.1)).load("train", CANVAS)))
    steps = torch.stack([tops.diff(), lefts.diff()]).double().norm(dim=0)
    assert steps.max() <= 2.4 + 2**0.5  # 0.1 * 24 pixels, each end rounded by up to half a pixel
    assert steps.mean() > 1.2 * 0.8  # 0.05 * 24; bounces shorten a few steps
    assert (tops.min(), tops.max(), lefts.min(), lefts.max()) == (0, 12, 0, 20)
    inner = (lefts > 3) & (lefts < 17)
    straight = inner[:, :-2] & inner[:, 1:-1] & inner[:, 2:]
    bend = lefts.diff().diff().abs()
    assert bend[straight].max() <= 2  # only rounding bends a path away from the walls


def test_a_path_is_reflected_at_the_walls() -> None:
    there_and_back = [0, 1, 2, 3, 4, 3, 2, 1]
    assert reflect(torch.arange(-8.0, 16.0), 4).tolist() == 3 * there_and_back
    assert reflect(torch.tensor([3.0, -2.0]), 0).tolist() == [0, 0]


def test_a_clip_is_a_function_of_draw_and_index() -> None:
    items = clips_of(stills=(1, 3))
    all_clips = fetch(items)
    assert torch.equal(all_clips, fetch(items))
    some = torch.tensor([7, 250, 3])
    assert torch.equal(items.fetch(some, 5), all_clips[some])
    moved = (fetch(items, 6) != all_clips).flatten(1).any(1)
    assert moved.double().mean() > 0.99


def test_a_clip_of_one_image_has_its_label_and_others_have_none() -> None:
    items = clips_of()
    assert items.labels is not None
    shown = fetch(items).flatten(1).amax(1)  # of Numbered: the larger of the two digits in base 256
    assert shown[:256].tolist() == list(range(256))
    assert items.labels.tolist() == [n % 10 for n in range(300)]
    assert clips_of(stills=2).labels is None
    assert clips_of(stills=(1, 2)).classes == ()


@pytest.mark.parametrize(("stills", "fewest", "most"), [(1, 1, 1), (3, 3, 3), ([1, 3], 1, 3)])
def test_the_given_number_of_images_moves(stills, fewest: int, most: int) -> None:
    clips = fetch(MovingStills(Squares(250), stills=stills, still_scale=0.1).load("train", CANVAS))
    pixels = torch.tensor([len(clip[clip > 0].unique()) for clip in clips])  # images differ in level
    assert pixels.min() >= fewest - 1  # one may hide behind another
    assert pixels.max() == most
    assert pixels.double().mean() > (fewest + most) / 2 - 0.2


def test_the_brighter_of_two_overlapping_images_is_visible() -> None:
    clips = fetch(MovingStills(Squares(100), stills=2, still_scale=1.0).load("train", (1, 16, 16)))
    levels = torch.arange(1, 101)
    assert bool((clips.flatten(1).amin(1) >= levels).all())  # an image as large as the canvas does not move


def module(seed: int, has_test_split: bool = False) -> GenerativeData:
    source = MovingStills(Squares(200, has_test_split), num_frames=4)
    data = GenerativeData(
        source, name="m", kind="sequences", image_size=16, channels=1, batch_size=10, seed=seed, num_frames=4
    )
    data.setup("fit")
    return data


def test_evaluation_clips_do_not_depend_on_the_seed_and_training_clips_never_repeat() -> None:
    one, other = module(seed=0), module(seed=1)
    for loader in (GenerativeData.val_dataloader, GenerativeData.test_dataloader):
        left, right = list(loader(one)), list(loader(other))
        assert all(torch.equal(a["images"], b["images"]) for a, b in zip(left, right, strict=True))
    per_epoch = one.num_items // 10
    epochs = list(islice(one.train_dataloader(), 2 * per_epoch))
    by_index = [
        torch.cat([b["images"] for b in e])[torch.cat([b["indices"] for b in e]).argsort()]
        for e in (epochs[:per_epoch], epochs[per_epoch:])
    ]
    assert (by_index[0][:150] != by_index[1][:150]).flatten(1).any(1).double().mean() > 0.5
    assert one.num_frames == 4
    assert one.image_shape == (1, 16, 16)


def test_training_and_validation_clips_move_differently() -> None:
    data = module(seed=0)  # the seed of all evaluation clips
    training = {
        index: box
        for b in islice(data.train_dataloader(), data.num_items // 10)
        for index, box in zip(b["indices"].tolist(), torch.stack(boxes(b["images"])[:2], 1), strict=True)
    }
    validation = torch.cat([torch.stack(boxes(b["images"])[:2], 1) for b in data.val_dataloader()])
    pairs = [(box, training[index]) for index, box in enumerate(validation) if index in training]
    assert sum(torch.equal(*pair) for pair in pairs) < len(pairs) / 2


def test_a_split_uses_its_own_images_only() -> None:
    data = module(seed=0)
    seen = {
        "train": set(
            torch.cat([b["images"].flatten(1).amax(1) for b in islice(data.train_dataloader(), 100)]).tolist()
        ),
        "validation": {level for b in data.val_dataloader() for level in b["images"].flatten(1).amax(1).tolist()},
        "test": {level for b in data.test_dataloader() for level in b["images"].flatten(1).amax(1).tolist()},
    }
    assert not seen["train"] & seen["validation"] | seen["train"] & seen["test"] | seen["validation"] & seen["test"]
    assert len(seen["train"] | seen["validation"] | seen["test"]) == 200


def test_a_resumed_stream_draws_the_same_clips() -> None:
    through = list(islice(module(seed=4).train_dataloader(), 30))
    entered = module(seed=4)
    entered.images_seen = 230
    for got, expected in zip(entered.train_dataloader(), through[23:], strict=False):
        assert torch.equal(got["images"], expected["images"])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"stills": 0}, "data.stills"),
        ({"stills": 4}, "data.stills"),
        ({"stills": (3, 2)}, "data.stills"),
        ({"still_scale": 0.0}, "data.still_scale"),
        ({"still_scale": 1.5}, "data.still_scale"),
        ({"speed": (0.2, 0.1)}, "data.speed"),
        ({"speed": (0.0, 0.1)}, "data.speed"),
    ],
)
def test_the_message_for_a_mistake_names_its_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        clips_of(**settings)
    assert caught.value.key == key


def test_draws_of_other_seeds_splits_and_epochs_differ() -> None:
    assert (
        len({hash_int(3, seed, split, epoch) for seed in range(9) for split in range(3) for epoch in range(99)}) == 2673
    )


def test_only_a_source_can_move() -> None:
    """A configuration may put any value in its place."""
    with pytest.raises(TypeError, match="of is 'digits'"):
        MovingStills("digits")  # pyright: ignore
