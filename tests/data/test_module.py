"""The data module: order, position, splits, normalisation and mirroring."""

from itertools import islice
from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.data.loader import Batch
from genimg.data.module import GenerativeData, mirror
from genimg.data.moving import MovingStills
from tests.data.stand_ins import Numbered, numbered, numbers_of


def take(data: GenerativeData, count: int) -> list[Batch]:
    """The next `count` batches, normalised."""
    return [data.on_after_batch_transfer(batch) for batch in islice(data.train_dataloader(), count)]


def same(left: list[Batch], right: list[Batch]) -> bool:
    keys = ("images", "labels", "indices")
    return len(left) == len(right) and all(
        a["epoch"] == b["epoch"] and all(torch.equal(a[key], b[key]) for key in keys)
        for a, b in zip(left, right, strict=True)
    )


def test_an_epoch_is_a_permutation_without_its_partial_batch() -> None:
    data = numbered()
    per_epoch = data.num_items // 32
    batches = take(data, 2 * per_epoch)
    for epoch in (0, 1):
        of_epoch = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        indices = torch.cat([batch["indices"] for batch in of_epoch])
        assert {batch["epoch"] for batch in of_epoch} == {epoch}
        assert len(indices.unique()) == len(indices) == per_epoch * 32
    first, second = batches[0]["indices"], batches[per_epoch]["indices"]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("skipped", [0, 5, 14, 20, 33])  # 14 batches an epoch
def test_the_data_continue_from_any_position_as_without_an_interruption(skipped: int) -> None:
    through = take(numbered(flip=True, seed=3), skipped + 20)
    entered = numbered(flip=True, seed=3)
    entered.images_seen = skipped * 32
    assert same(take(entered, 20), through[skipped:])


def test_the_position_is_read_when_a_pass_begins() -> None:
    data = numbered()
    loader = data.train_dataloader()
    third = list(islice(loader, 3))[2]
    data.images_seen = 2 * 32
    assert torch.equal(next(iter(loader))["indices"], third["indices"])


def test_the_seed_changes_the_order_and_not_the_splits() -> None:
    one, other = numbered(seed=0), numbered(seed=1)
    assert not same(take(one, 1), take(other, 1))
    for loader in (GenerativeData.val_dataloader, GenerativeData.test_dataloader):
        assert same(list(loader(one)), list(loader(other)))
    assert one.fingerprint == other.fingerprint


def test_splits_are_disjoint_and_exhaustive() -> None:
    data = numbered(count=500, val_fraction=0.1, test_fraction=0.2)
    train = [n for batch in islice(data.train_dataloader(), 14 * 40) for n in numbers_of(batch["images"])]
    validation = [n for batch in data.val_dataloader() for n in numbers_of(batch["images"])]
    test = [n for batch in data.test_dataloader() for n in numbers_of(batch["images"])]
    assert (len(set(train)), len(validation), len(test)) == (360, 40, 100)
    assert set(train) | set(validation) | set(test) == set(range(500))


@pytest.mark.parametrize(("limit", "count"), [(100, 100), (0.25, 90), (1000, 360)])
def test_a_limit_keeps_some_training_items_and_all_others(limit: float, count: int) -> None:
    every, fewer = (numbered(count=500, val_fraction=0.1, test_fraction=0.2, limit=value) for value in (None, limit))
    train = {n for batch in islice(fewer.train_dataloader(), 60) for n in numbers_of(batch["images"])}
    assert fewer.num_items == count
    assert len(train) == count
    for loader in (GenerativeData.val_dataloader, GenerativeData.test_dataloader):
        assert same(list(loader(every)), list(loader(fewer)))
    assert (fewer.fingerprint == every.fingerprint) == (count == 360)


def test_a_test_split_of_the_source_is_loaded_only_for_the_test() -> None:
    data = numbered(count=100, has_test_split=True, batch_size=16)
    assert data.num_items == 95
    with pytest.raises(KeyError):
        data.test_dataloader()
    data.setup("test")
    test = [n for batch in data.test_dataloader() for n in numbers_of(batch["images"])]
    assert test == list(range(100, 200))


def test_labels_stay_with_their_images() -> None:
    data = numbered()
    for batch in [*islice(data.train_dataloader(), 20), *data.val_dataloader()]:
        assert batch["labels"].tolist() == [n % 10 for n in numbers_of(batch["images"])]
        assert batch["labels"].dtype == batch["indices"].dtype == torch.int64


def test_ranks_divide_each_batch() -> None:
    undivided = list(islice(numbered().train_dataloader(), 20))
    shares = []
    for rank in range(4):
        data = numbered()
        data.rank, data.world_size = rank, 4
        shares.append(list(islice(data.train_dataloader(), 20)))
    for batch, *parts in zip(undivided, *shares, strict=True):
        assert all(len(part["indices"]) == 8 for part in parts)
        assert sorted(batch["indices"].tolist()) == sorted(torch.cat([p["indices"] for p in parts]).tolist())


def test_every_level_survives_normalisation_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    batch = {"images": levels, "indices": torch.zeros(1, dtype=torch.int64), "epoch": 0, "augment": False}
    images = numbered().on_after_batch_transfer(batch)["images"]
    assert (images.min(), images.max(), images.dtype) == (-1, 1, torch.float32)
    assert torch.equal(((images + 1) * 127.5).round().clamp(0, 255).byte(), levels)


def test_half_of_the_items_are_mirrored_and_the_same_half_each_time() -> None:
    count = 10_000
    images = torch.tensor([0, 255], dtype=torch.uint8).expand(count, 1, 1, 2)
    once, again = (mirror(images, 0, 0, torch.arange(count)) for _ in range(2))
    share = (once[:, 0, 0, 0] == 255).double().mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / count**0.5
    assert torch.equal(once, again)
    assert not torch.equal(once, mirror(images, 0, 1, torch.arange(count)))
    assert not torch.equal(once, mirror(images, 1, 0, torch.arange(count)))
    part = torch.arange(300, 500)
    assert torch.equal(mirror(images[part], 0, 0, part), once[part])


def test_mirroring_differs_between_epochs() -> None:
    """Image n of `Numbered` has n in its left half; a mirrored image has 0 there."""
    data = numbered(count=200, flip=True)
    per_epoch = data.num_items // 32
    mirrored: list[dict[int, bool]] = [{}, {}]
    for batch in take(data, 2 * per_epoch):
        lit = (batch["images"][..., -2:] > -1).flatten(1).any(1)
        mirrored[batch["epoch"]] |= dict(zip(batch["indices"].tolist(), lit.tolist(), strict=True))
    both = mirrored[0].keys() & mirrored[1].keys()
    changed = sum(mirrored[0][index] != mirrored[1][index] for index in both) / len(both)
    assert abs(changed - 0.5) < 4 * 0.5 / len(both) ** 0.5


def test_all_frames_of_a_clip_are_mirrored_alike() -> None:
    clips = torch.tensor([0, 255], dtype=torch.uint8).expand(64, 5, 1, 1, 2)
    first_pixels = mirror(clips, 0, 0, torch.arange(64))[..., 0].flatten(1)
    assert torch.equal(first_pixels.amin(1), first_pixels.amax(1))
    assert 0 < first_pixels[:, 0].double().mean() < 255


def test_evaluation_sees_all_items_in_order_and_not_mirrored() -> None:
    batches = list(numbered(flip=True, val_fraction=0.1).val_dataloader())
    assert torch.equal(torch.cat([batch["indices"] for batch in batches]), torch.arange(45))
    assert not any(batch["augment"] for batch in batches)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"batch_size": 429}, "data.batch_size"),
        ({"num_classes": 7}, "data.num_classes"),
        ({"kind": "sequences"}, "data.kind"),
        ({"val_fraction": 1.0}, "data.val_fraction"),
        ({"test_fraction": -0.1}, "data.test_fraction"),
    ],
)
def test_the_message_for_a_mistake_names_its_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        numbered(**settings)
    assert caught.value.key == key


def test_the_message_for_a_large_batch_suggests_one_that_fits() -> None:
    with pytest.raises(UserError) as caught:
        numbered(batch_size=429)
    assert caught.value.hint == "data.batch_size=256"


def test_a_clip_larger_than_memory_is_an_error_before_it_is_made() -> None:
    stills = MovingStills(Numbered(40), num_frames=10**12)
    with pytest.raises(UserError, match="fewer frames") as caught:
        GenerativeData(
            stills, name="endless", image_size=8, channels=1, batch_size=4, kind="sequences", num_frames=10**12
        ).setup("fit")
    assert caught.value.key == "data.num_frames"


@pytest.mark.parametrize("settings", [{"image_size": 10**6}, {"image_size": [8, 7]}, {"channels": 10**9}])
def test_image_sizes_outside_the_limits_are_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises((UserError, ValueError), match=r"pixels|channels"):
        numbered(**settings)


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(TypeError, match="flipp"):
        GenerativeData(Numbered(9), name="n", image_size=8, channels=1, batch_size=4, flipp=True)


def test_the_fingerprint_changes_with_one_pixel_or_label(monkeypatch: pytest.MonkeyPatch) -> None:
    before = numbered().fingerprint
    load = Numbered.load

    def with_pixel(self, part, shape):
        items = load(self, part, shape)
        items.images[17, 0, 5, 5] += 1
        return items

    def with_label(self, part, shape):
        items = load(self, part, shape)
        assert items.labels is not None
        items.labels[17] = 0
        return items

    assert before == numbered().fingerprint
    assert before["count"] == 428
    assert before["shape"] == [1, 8, 8]
    for changed in (with_pixel, with_label):
        monkeypatch.setattr(Numbered, "load", changed)
        assert numbered().fingerprint["digest"] != before["digest"]


@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_a_part_of_a_split_is_evenly_spaced(most: int) -> None:
    """A data set may be sorted by class: the first items would be of the first class."""
    data = numbered()
    batches = list(data.evenly_spaced("train", most))
    indices = torch.cat([batch["indices"] for batch in batches])
    count = min(most, data.num_items)
    assert len(indices) == count and indices[0] == 0
    assert all(abs(step - data.num_items / count) < 1 for step in indices.diff().tolist())
    assert not any(batch["augment"] for batch in batches)
