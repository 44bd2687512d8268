"""What differentiable augmentation promises."""

import pytest
import torch

from genimg.models.networks.augmentation import POLICIES, DiffAugment, translate


@pytest.mark.parametrize("policy", POLICIES)
def test_shape_is_kept_images_differ_and_gradients_flow(policy: str) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 16, 12).expand(8, -1, -1, -1).clone().requires_grad_()
    changed = DiffAugment([policy])(images)
    assert changed.shape == images.shape
    assert not torch.equal(changed[0], changed[1])
    changed.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


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
    assert DiffAugment([])(images) is images


def test_an_unknown_policy_is_an_error_with_its_name() -> None:
    with pytest.raises(ValueError, match="'rotate'"):
        DiffAugment(["rotate"])
