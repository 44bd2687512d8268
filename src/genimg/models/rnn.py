"""The RNN: one image in, an animation out, a different one for every draw of its latents.

    elbo = E_q[sum_t log p(x_t | x_0, w, z_1..t)] - KL(q(w | x) || N(0, I)) - sum_t KL(q(z_t | x_0..t, .) || p(z_t | .))

The bound of a sequential VAE (Chung et al. 2015, eq. 11; SVG-LP, Denton & Fergus 2018, eq. 5) with one more latent
for the whole clip. x_0 is given, so it has no likelihood.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genimg.common.errors import UserError
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory
from genimg.models.bound import Bound, Path, check_clips, frame_error
from genimg.models.objectives import likelihoods
from genimg.models.objectives.curriculum import Curriculum
from genimg.models.objectives.tracking import tracking_error
from genimg.models.objectives.variational import gaussian_kl, gaussian_kl_between, reparameterise, soft_bound
from genimg.models.starts import KeptStarts

LIKELIHOODS = ("bernoulli", "discretized_logistic")

#: Softly kept range of every latent's log-variance: standard deviations from 0.02 to 7.
LOG_VAR_RANGE = (-8.0, 4.0)

#: The logistic's scale is kept softly above exp(-7), a quarter of half a level of 8 bits.
MIN_LOG_SCALE = -7.0

#: No pixel is black or white with more certainty than 1 - this: one surprise costs 7 nats at most.
LEAST_PROBABILITY = 1e-3

CHUNK = 16  # frames drawn at once in sampling: the memory of a long animation is the animation

Latent = tuple[Tensor, Tensor]  # mean and bounded log-variance, (B, latent_dim) each


class RNN(GenerativeModel):
    """Trained on the bound, on clips whose length grows; sampled from the priors, a few frames at a time.

    Args:
        encoder: frames (N, C, H, W) -> vectors (N, F) and maps.
        dynamics: the stochastic recurrence, `networks.dynamics.Dynamics` by its interface.
        decoder: maps and motion -> frames in [-1, 1], `networks.frames.FrameDecoder` by its interface.
        optimizer: called with the parameters.
        image_size, channels: of a frame.
        num_frames: frames of a training clip, and of a sample unless told otherwise.
        likelihood: `bernoulli`, the cross-entropy of each pixel, or `discretized_logistic`, whose scale is learned.
        curriculum: what is learned first.
        grad_clip: largest norm of the gradient.
        futures: roll-outs a clip that validation looks at for its best one.
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "sequences"
    monitor: ClassVar[tuple[str, Literal["min", "max"]]] = ("elbo", "max")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "dynamics.", "decoder.", "log_scale")
    export_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "dynamics.", "decoder.", "starts.")

    # modules, with methods of their own that the docstring names
    encoder: Any
    dynamics: Any
    decoder: Any

    def __init__(
        self,
        encoder: nn.Module,
        dynamics: nn.Module,
        decoder: nn.Module,
        optimizer: OptimizerFactory,
        image_size: int | tuple[int, int],
        channels: int,
        num_frames: int,
        likelihood: str,
        curriculum: Curriculum,
        grad_clip: float,
        futures: int,
        num_classes: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(LIKELIHOODS)}")
        self.encoder, self.dynamics, self.decoder, self.optimizer = encoder, dynamics, decoder, optimizer
        self.num_frames, self.likelihood, self.num_classes = num_frames, likelihood, num_classes
        self.latent_dim: int = self.dynamics.latent_dim
        self.curriculum = curriculum
        self.grad_clip, self.futures, self.final_lr = grad_clip, futures, final_lr
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if likelihood == "discretized_logistic":
            self.log_scale = nn.Parameter(torch.tensor(-2.0))  # 0.14 in [-1, 1]: the frames are rough at first
        self.starts = KeptStarts(channels, height, width)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By the model's own norm: long products of derivatives blow up now and then (Pascanu et al. 2013)."""
        nn.utils.clip_grad_norm_(self.parameters(), self.grad_clip)

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "dynamics": self.dynamics, "decoder": self.decoder}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The loss in nats a pixel, so that `grad_clip` means the same at every size; metrics in nats a frame."""
        clips, labels = check_clips(batch["images"]), self._labels_of(batch)
        curriculum, progress = self.curriculum, self.progress
        clips = clips[:, : curriculum.frames(progress, clips.shape[1])]
        bound = self._bound(clips, labels, opening=curriculum.opening(progress))
        loss = (
            curriculum.clip_kl_weight(progress) * bound.kl_clip
            + curriculum.frame_kl_weight(progress) * bound.kl_frames
            + curriculum.tracking_weight(progress) * bound.tracking
            - bound.reconstruction
        )
        metrics = {name: value.mean().detach() for name, value in bound.figures().items()}
        return {"loss": loss.mean() / clips[0, 1:].numel()} | metrics

    @torch.no_grad()
    def evaluate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The bound and its parts in nats a frame, then free running, the truth kept out.

        `mse_best` is the best of `futures` roll-outs, `mse_copy` the start image held still, which is the floor
        to beat: squared error of pixels in [0, 1], summed over a frame, averaged over frames.
        """
        clips, labels = check_clips(batch["images"]), self._labels_of(batch)
        start, truth = clips[:, 0], clips[:, 1:]
        free = partial(
            self.sample, len(clips), generator=generator, labels=labels, start=start, num_frames=clips.shape[1]
        )
        errors = [frame_error(free()[:, 1:], truth) for _ in range(self.futures)]
        return self._bound(clips, labels, generator).figures() | {
            "mse_best": torch.stack(errors).amin(0),
            "mse_copy": frame_error(start.unsqueeze(1), truth),
        }

    def sample(
        self,
        num_images: int,
        *,
        generator: torch.Generator,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        start: Tensor | None = None,
        num_frames: int | None = None,
    ) -> Tensor:
        """Animations (N, T, C, H, W) in [-1, 1], frame 0 the start image.

        Args:
            start: (N, C, H, W) in [-1, 1]; None draws from the images the model keeps, of the classes `labels`.
            num_frames: T, of any length; None is the training's.
        """
        if start is None:
            start, labels = self.starts.draw(num_images, generator, labels if self.num_classes else None)
        if start.shape[0] != num_images:
            raise ValueError(f"{num_images} animations need as many start images, got {tuple(start.shape)}")
        if self.num_classes and labels is None:
            raise UserError("classes", None, "the class of every start image: this model is conditional")
        length = self.num_frames if num_frames is None else num_frames
        return torch.cat(list(self.stream(start, length, generator, labels, temperature)), dim=1)

    @torch.no_grad()
    def stream(
        self,
        start: Tensor,
        num_frames: int,
        generator: torch.Generator,
        labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """`sample` in pieces (N, t, C, H, W) of at most `CHUNK` frames, in bounded memory however long it goes on."""

        def noise(_: int) -> Tensor:
            shape = (len(start), self.dynamics.latent_dim)
            return temperature * torch.randn(shape, generator=generator, device=start.device)

        yield from self._roll_out(start, num_frames, noise, labels)

    @torch.no_grad()
    def animate(self, start: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """`sample` as a function of its noise: clips (N, T, C, H, W) in [-1, 1], frame 0 the start.

        Args:
            start: (N, C, H, W) in [-1, 1].
            noise: standard normal (N, T, latent_dim): row 0 for the clip, row t for frame t.
        """
        return torch.cat(list(self._roll_out(start, noise.shape[1], lambda t: noise[:, t], labels)), dim=1)

    def _roll_out(
        self, start: Tensor, num_frames: int, noise: Callable[[int], Tensor], labels: Tensor | None
    ) -> Iterator[Tensor]:
        """Frames from the priors, a few at a time. noise: standard normal (N, latent_dim), 0 of w and t of z_t."""
        yield start.unsqueeze(1)
        context, maps = self.encoder(start)
        layers = self.decoder.cut(start, maps)
        step = self.dynamics.begin(noise(0), context, maps[-1], layers.places(), labels if self.num_classes else None)

        def from_prior(step: Any, t: int) -> Tensor:
            mean, log_var = _bounded(self.dynamics.prior(step))
            return reparameterise(mean, log_var, noise(t))

        for begin in range(1, num_frames, CHUNK):
            path = self._walk(step, from_prior, range(begin, min(begin + CHUNK, num_frames)))
            step = path.step
            yield self._draw(layers, path)

    @torch.no_grad()
    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Clips (B, T, C, H, W) in [-1, 1] again, from their first frame and the means of their latents."""
        bound = self._bound(images, labels if self.num_classes else None, noisy=False)
        return torch.cat([images[:, :1], bound.frames], dim=1)

    def keep_starts(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Keep up to 32 start images (N, C, H, W), uint8 or in [-1, 1], and their classes in the checkpoint."""
        self.starts.keep(images, labels)

    def _bound(
        self,
        clips: Tensor,
        labels: Tensor | None,
        generator: torch.Generator | None = None,
        opening: float = 1.0,
        noisy: bool = True,
    ) -> Bound:
        """The bound with latents drawn from the posteriors, or, where not `noisy`, with their means."""
        count, length = clips.shape[:2]
        features, maps = self.encoder(clips.flatten(0, 1))  # all frames in one call
        features = features.unflatten(0, (count, length))
        start_maps = [level.unflatten(0, (count, length))[:, 0] for level in maps]
        layers = self.decoder.cut(clips[:, 0], start_maps)
        seen, clip_latent = self.dynamics.observe(features, layers.measure(clips))

        def draw(latent: Latent) -> Tensor:
            return reparameterise(*latent, _normal_like(latent[0], generator)) if noisy else latent[0]

        w = _bounded(clip_latent)
        step = self.dynamics.begin(draw(w), features[:, 0], start_maps[-1], layers.places(), labels)
        kl_frames: list[Tensor] = []

        def from_posterior(step: Any, t: int) -> Tensor:
            posterior = _bounded(self.dynamics.posterior(step, seen, t))
            kl_frames.append(gaussian_kl_between(*posterior, *_bounded(self.dynamics.prior(step))))
            return draw(posterior)

        path = self._walk(step, from_posterior, range(1, length))
        frames = self._draw(layers, path, opening)
        return Bound(
            reconstruction=self._log_likelihood(frames, clips[:, 1:]),
            kl_clip=gaussian_kl(*w),
            kl_frames=torch.stack(kl_frames).sum(0),
            tracking=tracking_error(path.foreseen, seen.measured[:, 1:]),
            frames=frames,
        )

    def _walk(self, step: Any, latent: Callable[[Any, int], Tensor], times: range) -> Path:
        """Steps at `times`, each with the z_t that `latent` gives for the step before it."""
        steps = []
        for t in times:
            step = self.dynamics(latent(step, t), step)
            steps.append((step.core[0], step.motion.shift, step.motion.foreseen, step.motion.sigma))
        return Path(step, *(torch.stack(values, dim=1) for values in zip(*steps, strict=True)))

    def _draw(self, layers: Any, path: Path, opening: float = 1.0) -> Tensor:
        """All frames of a path in one call: (B, T - 1, C, H, W) in [-1, 1]."""
        canvas = self.dynamics.core.canvas(path.hidden.flatten(0, 1))
        return self.decoder(layers, canvas, path.shift, path.sigma, opening).clamp(-1, 1)

    def _log_likelihood(self, frames: Tensor, images: Tensor) -> Tensor:
        """log p(images | frames) in nats a clip, (B,)."""
        if self.likelihood == "bernoulli":
            probability = LEAST_PROBABILITY + (0.5 - LEAST_PROBABILITY) * (frames + 1)
            return likelihoods.bernoulli(torch.logit(probability), images)
        return likelihoods.discretized_logistic(frames, soft_bound(self.log_scale, low=MIN_LOG_SCALE), images)

    def _labels_of(self, batch: Batch) -> Tensor | None:
        return batch["labels"] if self.num_classes else None


def _bounded(gaussian: tuple[Tensor, Tensor]) -> Latent:
    mean, log_var = gaussian
    return mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)


def _normal_like(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(tensor.shape, generator=generator, device=tensor.device)
