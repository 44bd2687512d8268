"""Schedules of the RNN's training, and its tracking error."""

import torch

from genimg.models.objectives.curriculum import Curriculum
from genimg.models.objectives.tracking import PRECISION, tracking_error


def test_at_the_end_of_a_run_clips_are_whole_and_the_loss_is_the_elbo() -> None:
    end = Curriculum()
    assert end.frames(1.0, 16) == 16
    assert (end.opening(1.0), end.clip_kl_weight(1.0), end.frame_kl_weight(1.0)) == (1.0, 1.0, 1.0)
    assert end.tracking_weight(1.0) == 0.0


def test_schedules_of_length_zero_have_their_final_values_at_the_start() -> None:
    none = Curriculum(growing=0, gate_opening=0, clip_kl_warmup=0, frame_kl_until=0, tracking_until=0)
    assert none.frames(0.0, 16) == 16
    assert (none.opening(0.0), none.clip_kl_weight(0.0), none.frame_kl_weight(0.0)) == (1.0, 1.0, 1.0)
    assert none.tracking_weight(0.0) == 0.0


def test_a_training_clip_is_never_longer_than_the_clips_of_the_data() -> None:
    assert Curriculum(first_frames=8).frames(0.0, 3) == 3


def test_the_tracking_error_is_quadratic_near_zero_and_linear_beyond() -> None:
    at = torch.tensor([[0.0], [0.1 * PRECISION], [10 * PRECISION], [20 * PRECISION]])
    errors = tracking_error(at, torch.zeros_like(at))
    torch.testing.assert_close(errors, torch.tensor([0.0, 0.005, 9.5, 19.5]))
