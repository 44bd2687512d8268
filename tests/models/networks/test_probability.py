"""The probability of ADA's operations: its schedule, and how it adapts to overfitting."""

import pytest
import torch

from genimg.models.networks.probability import MOST, Probability

HIGH, LOW = torch.full((8,), 5.0), torch.full((8,), 4.0)


def test_a_schedule_goes_from_its_first_to_its_last_value_and_is_no_state() -> None:
    probability = Probability([0.0, 0.5], ramp=1)
    found = []
    for progress in (0.0, 0.5, 1.0):
        probability.schedule(progress)
        probability.adapt(HIGH, LOW, images=100)
        found.append(float(probability.p))
    assert found == pytest.approx([0, 0.25, 0.5])
    assert not probability.state_dict()


def test_p_rises_by_images_over_ramp_while_real_logits_are_separated() -> None:
    probability = Probability("adaptive", ramp=1000)
    for _ in range(20):
        probability.adapt(HIGH, LOW, images=10)
    assert float(probability.overfitting) == pytest.approx(1, abs=0.01)
    assert 0.2 - 0.05 - 1e-6 <= float(probability.p) <= 0.2  # it rises once the average is above the target


def test_p_falls_without_overfitting_and_stays_from_0_to_its_limit() -> None:
    probability = Probability("adaptive", ramp=10)
    for _ in range(20):
        probability.adapt(HIGH, LOW, images=10)
    assert float(probability.p) == pytest.approx(MOST)
    mixed = torch.tensor([4.0, 5.0] * 4)
    for _ in range(20):
        probability.adapt(mixed, mixed, images=10)  # r_t = 0
    assert float(probability.p) == 0


def test_overfitting_does_not_depend_on_the_offset_of_the_logits() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 64)
    values = []
    for offset in (0.0, 1000.0):
        probability = Probability("adaptive", ramp=1000)
        values.append(float(probability.adapt(real + 1 + offset, fake + offset, images=10)["overfitting"]))
    assert values[0] == values[1] > 0


def test_a_restored_probability_continues_exactly() -> None:
    torch.manual_seed(0)
    steps = torch.randn(20, 2, 8) + torch.tensor([2.0, 0.0])[:, None]
    straight, stopped, restored = (Probability("adaptive", ramp=1000) for _ in range(3))
    for real, fake in steps:
        straight.adapt(real, fake, images=10)
    for real, fake in steps[:7]:
        stopped.adapt(real, fake, images=10)
    restored.load_state_dict(stopped.state_dict())
    for real, fake in steps[7:]:
        restored.adapt(real, fake, images=10)
    assert float(straight.p) > 0
    assert all(torch.equal(value, restored.state_dict()[name]) for name, value in straight.state_dict().items())
