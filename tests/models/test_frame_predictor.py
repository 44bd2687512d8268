"""The predictor of frames: samples, what it reads in training, and its errors."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.frame_predictor import FramePredictor
from genimg.models.networks.conv_lstm import ConvLSTM
from genimg.models.networks.recurrence import Predicted
from genimg.models.objectives.feeding import FEEDINGS

GIVEN, FRAMES = 3, 6


def tiny(
    likelihood: str = "bernoulli",
    feeding: str = "predicted",
    given_frames: int = GIVEN,
    truncation: int | None = None,
    checkpointing: bool = False,
) -> FramePredictor:
    torch.manual_seed(0)
    return FramePredictor(
        recurrence=ConvLSTM(16, 1, hidden=6, layers=2, kernel=3, patch=4),
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        image_size=16,
        channels=1,
        num_frames=FRAMES,
        given_frames=given_frames,
        likelihood=likelihood,
        feeding=feeding,
        truncation=truncation,
        checkpointing=checkpointing,
        grad_clip=1.0,
        final_lr=0.1,
    )


def clips(count: int = 2, frames: int = FRAMES) -> Tensor:
    return 2 * torch.rand(count, frames, 1, 16, 16, generator=torch.Generator().manual_seed(7)) - 1


def test_a_sample_begins_with_the_given_frames_and_has_any_length() -> None:
    model, start = tiny(), clips()[:, :GIVEN]
    short, long = (model.sample(Noise.of_first(2, 0), start=start, num_frames=n) for n in (GIVEN + 1, 20))
    assert long.shape == (2, 20, 1, 16, 16) and long.abs().max() <= 1
    assert torch.equal(long[:, :GIVEN], start)
    torch.testing.assert_close(long[:, : GIVEN + 1], short)
    assert model.sample(Noise.of_first(2, 0), start=start).shape[1] == FRAMES


def test_stored_starts_are_enough_to_draw() -> None:
    model = tiny()
    with pytest.raises(UserError, match="start"):
        model.sample(Noise.of_first(2, 0))
    model.keep_starts(clips(4)[:, :GIVEN])
    drawn = model.sample(Noise.of_first(5, 0))
    torch.testing.assert_close(drawn[0, :GIVEN], clips(4)[0, :GIVEN], atol=1 / 127, rtol=0)
    assert torch.equal(drawn[0], drawn[4])


class Recorder(torch.nn.Module):
    """Predicts half of the frame that it reads, and records what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Tensor] = []
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, frame: Tensor, state: Any) -> Predicted:
        self.read.append(frame)
        return Predicted(0.5 * self.weight * frame, None, None)


@pytest.mark.parametrize(
    ("feeding", "progress", "true"),
    [
        ("predicted", 0.0, [1, 1, 1, 0, 0]),
        ("scheduled", 0.0, [1, 1, 1, 1, 1]),
        ("scheduled", 1.0, [1, 1, 1, 0, 0]),
        ("reverse", 1.0, [1, 1, 1, 0, 0]),
    ],
)
def test_the_network_reads_true_frames_or_its_own_predictions(feeding: str, progress: float, true: list[int]) -> None:
    model = tiny("gaussian", feeding)
    model.recurrence = recorder = Recorder()
    model.progress = progress
    model.training_step({"images": clips()}, 0)
    for time, (frame, is_true) in enumerate(zip(recorder.read, true, strict=True)):
        expected = clips()[:, time] if is_true else 0.5 * recorder.read[time - 1]
        torch.testing.assert_close(frame, expected)


def test_reverse_sampling_leaves_out_half_of_the_given_frames_at_first() -> None:
    start, middle, end = (FEEDINGS["reverse"](6, 3, progress) for progress in (0.0, 0.25, 1.0))
    assert start == [1, 0.5, 0.5, 0.5, 0.5]
    assert middle == [1, 0.75, 0.75, 0.25, 0.25]
    assert end == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretized_logistic"])
def test_training_learns_a_clip(likelihood: str) -> None:
    model = tiny(likelihood)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    still = torch.ones(2, FRAMES, 1, 16, 16)
    still[..., :8] = -1
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model.training_step({"images": still}, 0)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_the_errors_are_those_of_predictions_that_are_fed_back() -> None:
    model = tiny()
    found = model.evaluate({"images": clips()}, Noise.of_first(2, 0))
    drawn = model.sample(Noise.of_first(2, 0), start=clips()[:, :GIVEN])
    truth = clips()[:, GIVEN:]
    squared = (0.5 * (drawn[:, GIVEN:] - truth)).square()
    torch.testing.assert_close(found["mse"], squared.sum((2, 3, 4)).mean(1))
    still = (0.5 * (clips()[:, GIVEN - 1 : GIVEN] - truth)).square()
    torch.testing.assert_close(found["mse_copy"], still.sum((2, 3, 4)).mean(1))


def gradient(**options: Any) -> Tensor:
    model = tiny(**options)
    model.training_step({"images": clips()}, 0)["loss"].backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_checkpointing_changes_no_gradient() -> None:
    torch.testing.assert_close(gradient(checkpointing=True), gradient())


def test_steps_are_computed_again_with_checkpointing() -> None:
    model = tiny("gaussian", checkpointing=True)
    model.recurrence = recorder = Recorder()
    model.training_step({"images": clips()}, 0)["loss"].backward()
    assert len(recorder.read) == 2 * (FRAMES - 1)


def test_no_gradient_passes_a_truncation() -> None:
    """The frame before it has a gradient only through the steps up to it, and one far away none at all."""

    def of_first_frame(truncation: int | None) -> Tensor:
        model = tiny(truncation=truncation)
        images = clips().requires_grad_()
        outputs, _ = model._predict(images, torch.tensor([[True, True, True, False, False]] * 2))
        return torch.autograd.grad(outputs[:, 3].sum(), images)[0][:, 0]

    assert of_first_frame(None).abs().sum() > 0
    assert of_first_frame(4).abs().sum() > 0  # steps 0 to 3 are together
    assert of_first_frame(3).abs().sum() == 0  # step 3 begins anew
    torch.testing.assert_close(gradient(truncation=FRAMES), gradient())


def test_clips_without_a_frame_to_predict_are_a_mistake() -> None:
    with pytest.raises(UserError, match="at least 4 frames"):
        tiny().training_step({"images": clips(frames=GIVEN)}, 0)
