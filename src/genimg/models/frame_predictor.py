"""A recurrent network that predicts the next frame of a clip from the frames before, without latents.

Where the future is uncertain it predicts the mean of what may come, which is blurred; `RNN` draws one future instead.
"""

from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.base import Batch, OptimizerFactory, check_unused
from genimg.models.bound import check_clips, frame_error, frame_ssim
from genimg.models.nest import detached
from genimg.models.networks.recurrence import Predicted
from genimg.models.objectives.feeding import FEEDINGS
from genimg.models.objectives.likelihoods import LIKELIHOODS, optimal_log_sigma
from genimg.models.sequence import SequenceModel

State = tuple[Tensor, Any]  # the frame to read next (N, C, H, W), and the state of the recurrence before it


class FramePredictor(SequenceModel):
    """Trained to predict every frame from those before, and sampled by feeding predicted frames back.

    All futures of a start are equal, because nothing is drawn; temperature has no effect.

    Args:
        recurrence: a `networks.recurrence.Recurrence`: ConvLSTM, PredRNN or PhyDNet.
        optimizer: called with the parameters.
        image_size, channels, num_frames, given_frames: as in `SequenceModel`.
        likelihood: a name of `LIKELIHOODS`. The sigma of the Gaussian is optimal for each batch.
        feeding: a name of `FEEDINGS`: which frames of a training clip the network reads, true or predicted ones.
        truncation: steps after which the gradient ends (truncated backpropagation through time, Williams & Peng 1990);
            None = the gradient of a clip is exact.
        checkpointing: whether steps are computed again for the gradient instead of kept, which takes a third more time
            and less memory (Chen et al. 2016, "Training deep nets with sublinear memory cost").
        grad_clip: maximum norm of the gradient.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the network and the optimizer read by interpolation.

    Raises:
        UserError: for an unknown likelihood or feeding, or a network of another model.
    """

    monitor: tuple[str, Literal["min", "max"]] = ("mse", "min")
    network_nodes: ClassVar[tuple[str, ...]] = ("recurrence",)
    latent_dim = 0

    def __init__(
        self,
        recurrence: nn.Module,
        optimizer: OptimizerFactory,
        image_size: int | tuple[int, int],
        channels: int,
        num_frames: int,
        given_frames: int,
        likelihood: str,
        feeding: str,
        truncation: int | None,
        checkpointing: bool,
        grad_clip: float,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__(image_size, channels, num_frames, given_frames)
        check_unused(_shared)
        for key, name, known in (("likelihood", likelihood, LIKELIHOODS), ("feeding", feeding, FEEDINGS)):
            if name not in known:
                raise UserError(f"model.{key}", name, f"one of {', '.join(known)}")
        self.recurrence, self.optimizer = recurrence, optimizer
        self.likelihood, self.feeding = LIKELIHOODS[likelihood], FEEDINGS[feeding]
        self.truncation, self.checkpointing = truncation, checkpointing
        self.grad_clip, self.final_lr = grad_clip, final_lr
        learned = self.likelihood.scale == "learned"
        self.log_scale = nn.Parameter(torch.tensor(-2.0), requires_grad=learned)  # 0.14 in [-1, 1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def networks(self) -> dict[str, nn.Module]:
        return {"recurrence": self.recurrence}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The loss in nats per value, and the penalty of the network within it."""
        clips = check_clips(batch["images"], self.given_frames)
        count, length = clips.shape[:2]
        chances = self.feeding(length, self.given_frames, self.progress)
        true = torch.rand(count, length - 1, device=clips.device) < torch.tensor(chances, device=clips.device)
        outputs, penalty = self._predict(clips, true)
        loss = self._loss(outputs, clips[:, 1:]) + penalty
        return {"loss": loss, "penalty": penalty.detach()}

    def _predict(self, clips: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Raw outputs for frames 1 to T - 1, (B, T - 1, C, H, W), and the mean penalty of a step, shape ().

        Args:
            true: bool (B, T - 1), whether an input frame is the true one rather than its prediction.
        """
        state, frame, outputs, penalties = None, clips[:, 0], [], []
        for time in range(clips.shape[1] - 1):
            if time:
                chosen = true[:, time].view(-1, 1, 1, 1)
                frame = torch.where(chosen, clips[:, time], self.likelihood.mean(outputs[-1]))
                if self.truncation is not None and time % self.truncation == 0:
                    frame, state = detached((frame, state))
            predicted = self._step(frame, state)
            state = predicted.state
            outputs.append(predicted.outputs)
            penalties += [] if predicted.penalty is None else [predicted.penalty]
        penalty = torch.stack(penalties).mean() if penalties else clips.new_zeros(())
        return torch.stack(outputs, dim=1), penalty

    def _step(self, frame: Tensor, state: Any) -> Predicted:
        """One step of the network, whose inner results are not kept with `checkpointing`."""
        if self.checkpointing and torch.is_grad_enabled():
            return cast(Predicted, checkpoint(self.recurrence, frame, state, use_reentrant=False))
        return self.recurrence(frame, state)

    def _loss(self, outputs: Tensor, frames: Tensor) -> Tensor:
        """The mean negative log-likelihood in nats per value, shape ()."""
        log_scale = self.log_scale
        if self.likelihood.scale == "optimal":
            mse = (frames - outputs.detach().float()).square().mean()
            all_reduce_mean([mse])
            log_scale = optimal_log_sigma(mse)
        return -self.likelihood.log_prob(outputs, log_scale, frames).mean() / frames[0].numel()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient: products over many frames can explode (Pascanu et al. 2013)."""
        nn.utils.clip_grad_norm_(self.parameters(), self.grad_clip)

    @torch.no_grad()
    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Errors of predicted frames that were fed back, each (B,).

        `mse` and `mse_copy` are those of the prediction and of a static copy of the last given frame: squared errors of
        pixels in [0, 1], summed over a frame and averaged over frames. `ssim` and `ssim_copy` are the SSIM of the same.
        """
        clips, given = check_clips(batch["images"], self.given_frames), self.given_frames
        truth, still = clips[:, given:], clips[:, given - 1 : given]
        frames = self.sample(noise, start=clips[:, :given], num_frames=clips.shape[1])[:, given:]
        return {
            "mse": frame_error(frames, truth),
            "mse_copy": frame_error(still, truth),
            "ssim": frame_ssim(frames, truth),
            "ssim_copy": frame_ssim(still.expand_as(truth), truth),
        }

    def begin(self, start: Tensor, noise: Tensor, labels: Tensor | None = None) -> State:
        """See the base class."""
        *before, last = start.unbind(1)
        state = None
        for frame in before:
            state = self.recurrence(frame, state).state
        return last, state

    def advance(self, state: State, noise: Tensor, actions: Tensor | None = None) -> tuple[Tensor, State]:
        """See the base class."""
        frames = []
        for _ in range(noise.shape[1]):
            predicted = self.recurrence(*state)
            frames.append(self.likelihood.mean(predicted.outputs))
            state = frames[-1], predicted.state
        return torch.stack(frames, dim=1), state
