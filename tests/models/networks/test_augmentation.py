"""What differentiable augmentation promises."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.models.networks import ada
from genimg.models.networks.augmentation import ADA, DIFF_AUGMENT, OPERATIONS, Augmentation
from genimg.models.networks.diff_augment import translate
from genimg.models.networks.probability import Probability


def augmentation(policy: Any, p: float = 1.0) -> Augmentation:
    augment = Augmentation(policy, Probability([p, p], ramp=1))
    augment.schedule(0.0)
    return augment


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", OPERATIONS)
def test_shape_is_kept_images_differ_and_gradients_flow(policy: str, channels: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, channels, 16, 12).expand(8, -1, -1, -1).clone().requires_grad_()
    changed = augmentation([policy])(images)
    assert changed.shape == images.shape
    assert not torch.equal(changed[0], changed[1])
    changed.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize("policy", OPERATIONS)
def test_real_and_fake_images_get_the_same_draw(policy: str) -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 12)
    real, fake = augmentation([policy], p=0.5).pair(images, images.clone())
    assert torch.equal(real, fake) and not torch.equal(real, images)


def test_translation_shifts_by_at_most_an_eighth_and_repeats_the_border() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(16.0).expand(1, 1, 16, 16).expand(32, -1, -1, -1)  # each column its own value
    moved = translate(ramp)
    for image in moved[:, 0]:
        assert torch.equal(image, image[:1].expand_as(image))  # rows stay alike
        steps = image[0].diff()
        assert ((steps == 0) | (steps == 1)).all()  # shifted; the border repeated
        assert abs(image[0, 8] - 8) <= 2  # an eighth of 16


def test_an_empty_policy_is_the_identity() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert augmentation([])(images) is images
    assert augmentation([]).pair(images, images) == (images, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_with_probability_0_the_operations_of_ada_change_no_bit(channels: int) -> None:
    images = torch.randn(16, channels, 13, 8)
    assert torch.equal(augmentation(ADA, p=0.0)(images), images)


@pytest.mark.parametrize("policy", ADA)
def test_an_operation_leaves_about_the_expected_share_of_images_unchanged(policy: str) -> None:
    """Each operation is left out with probability 1 - p, and has no effect for a share of its draws."""
    torch.manual_seed(0)
    images, p = torch.rand(1, 3, 16, 16).expand(4000, -1, -1, -1), 0.3
    changed = augmentation([policy], p)(images)
    unchanged = (changed == images).flatten(1).all(1).float().mean()
    expected = {
        # half of the mirrorings, 3 of 4 turns, and 15 of 16 shifts by -2 to 2 pixels, rounded, have an effect
        "ada_blit": (1 - p * 1 / 2) * (1 - p * 3 / 4) * (1 - p * 15 / 16),
        "ada_geometry": (1 - p) ** 4,
        "ada_color": (1 - p) ** 4 * (1 - p / 2),
        "ada_cutout": 1 - p,
    }[policy]
    assert unchanged == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5)


def test_below_the_limit_the_unchanged_image_is_the_most_frequent_one() -> None:
    """Why operations do not leak: of the results of an image, the generator can tell which one is the original."""
    torch.manual_seed(0)
    image = torch.tensor([[0.9, 0.2], [-0.4, -0.8]])
    found = augmentation(["ada_blit"], p=0.8)(image.expand(8000, 1, 2, 2))
    results, counts = found.flatten(1).round(decimals=3).unique(dim=0, return_counts=True)
    assert len(results) == 8  # mirrored or not, four turns; a shift of an eighth is less than half a pixel
    assert torch.equal(results[counts.argmax()], image.flatten())


def test_blitting_of_a_square_only_moves_pixels() -> None:
    """Mirrored, turned, and shifted by up to an eighth: with a flat margin as wide, no value is lost."""
    torch.manual_seed(0)
    images = torch.zeros(64, 1, 16, 16)
    images[:, :, 4:12, 4:12] = torch.rand(64, 1, 8, 8)
    moved = augmentation(["ada_blit"])(images)
    torch.testing.assert_close(moved.flatten(1).sort(1).values, images.flatten(1).sort(1).values, atol=1e-4, rtol=0)
    assert len({tuple(image.flatten().round(decimals=3).tolist()) for image in moved}) == 64


def test_a_warped_linear_image_has_the_values_of_its_map() -> None:
    """At places whose origins lie inside, the image x + 10 y has the value of the map there."""
    torch.manual_seed(0)
    height, width = 24, 32
    y, x = torch.meshgrid(torch.arange(height) - 11.5, torch.arange(width) - 15.5, indexing="ij")
    maps = ada.geometry(ada.Draw(32, torch.tensor(1.0)), height, width)
    warped = ada.warp((x + 10 * y).expand(32, 1, height, width), maps)[:, 0]
    origin = torch.einsum("bij,jhw->bihw", maps, torch.stack([x, y, torch.ones_like(x)]))
    inside = (origin[:, 0].abs() < 15.5) & (origin[:, 1].abs() < 11.5)
    torch.testing.assert_close(warped[inside], (origin[:, 0] + 10 * origin[:, 1])[inside], atol=2e-3, rtol=1e-4)
    assert inside.float().mean() > 0.4


def test_scales_are_as_often_larger_as_smaller_and_turns_are_uniform() -> None:
    torch.manual_seed(0)
    maps = ada.geometry(ada.Draw(20_000, torch.tensor(1.0)), 16, 16)[:, :2, :2]
    log_area = torch.linalg.det(maps).log2() / 2
    assert float(log_area.mean()) == pytest.approx(0, abs=0.01) and float(log_area.std()) == pytest.approx(
        0.2, rel=0.05
    )
    rotated = torch.atan2(maps[:, 1, 0], maps[:, 0, 0])
    assert float(torch.complex(rotated.cos(), rotated.sin()).mean().abs()) < 4 / 20_000**0.5


@pytest.mark.parametrize(
    ("maps", "color", "expected"),
    [
        (ada._turn_hue(torch.tensor([2 * math.pi / 3])), [0.9, -0.2, 0.4], [0.4, 0.9, -0.2]),
        (ada._along_grey(torch.tensor([-1.0]), torch.tensor([1.0])), [0.5, 0.5, 0.5], [-0.5, -0.5, -0.5]),
        (ada._along_grey(torch.tensor([-1.0]), torch.tensor([1.0])), [0.5, 0.1, -0.6], [0.5, 0.1, -0.6]),
        (ada._along_grey(torch.tensor([1.0]), torch.tensor([0.0])), [0.9, 0.3, -0.3], [0.3, 0.3, 0.3]),
        (ada._brighten(torch.tensor([0.25])), [0.5, 0.0, -1.0], [0.75, 0.25, -0.75]),
    ],
    ids=["a third of a turn of the hue", "luma of grey", "luma without grey", "no saturation", "brightness"],
)
def test_known_changes_of_colour(maps: Tensor, color: list[float], expected: list[float]) -> None:
    image = torch.tensor(color).view(1, 3, 1, 1)
    torch.testing.assert_close(ada.change_color(image, maps).flatten(), torch.tensor(expected))


def test_a_grey_image_changes_like_a_colour_image_with_equal_channels() -> None:
    torch.manual_seed(0)
    maps = ada.recolor(ada.Draw(16, torch.tensor(0.7)), channels=1)
    images = torch.randn(16, 1, 4, 4)
    colored = ada.change_color(images.expand(-1, 3, -1, -1), maps)
    torch.testing.assert_close(ada.change_color(images, maps).expand(-1, 3, -1, -1), colored)


def test_bfloat16_training_does_not_round_the_places() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 32, 32)

    def changed(half: bool) -> Tensor:
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return augmentation("ada", p=0.8)(images)

    assert torch.equal(changed(half=True), changed(half=False))


def test_an_unknown_policy_is_an_error_with_its_name() -> None:
    with pytest.raises(ValueError, match="'rotate'"):
        augmentation(["rotate"])


def test_the_registry_lists_every_operation() -> None:
    assert (*DIFF_AUGMENT, *ADA) == OPERATIONS
