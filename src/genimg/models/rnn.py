"""The RNN: from one image to an animation, a different one for every draw of its latents.

    elbo = E_q[sum_t log p(x_t | x_0, w, z_1..t)] - KL(q(w | x) || N(0, I)) - sum_t KL(q(z_t | x_0..t, .) || p(z_t | .))

This is the bound of a sequential VAE (Chung et al. 2015, eq. 11; SVG-LP, Denton & Fergus 2018, eq. 5) with an
additional latent w of the clip. x_0 is given, so it has no likelihood. If k frames are given, x_0 stands for the last
of them, whose pixels move, and w has the prior p(w | given frames). With actions, every term is given the actions too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.common.ranks import world_size
from genimg.models.actions import DrawnActions
from genimg.models.adversary import Adversary, pairs
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory, check_unused
from genimg.models.bound import Bound, Path, Scene, best_unrelated_error, check_clips, frame_error, frame_ssim
from genimg.models.objectives.curriculum import Curriculum
from genimg.models.objectives.likelihoods import LIKELIHOODS
from genimg.models.objectives.tracking import tracking_error
from genimg.models.objectives.variational import (
    gaussian_kl_between,
    reparameterise,
    soft_bound,
)
from genimg.models.schedules import Schedule
from genimg.models.starts import KeptStarts, frames_of, start_of, start_shape

#: Likelihoods that the sequence model can use: an optimal sigma would need all frames of a batch at once.
SUPPORTED = tuple(name for name, one in LIKELIHOODS.items() if one.scale != "optimal")

#: Soft bounds of the log-variance of every latent: standard deviations from 0.02 to 7.
LOG_VAR_RANGE = (-8.0, 4.0)

CHUNK = 16  # frames drawn at once in sampling, which bounds the memory of long animations

Latent = tuple[Tensor, Tensor]  # mean and bounded log-variance, (B, latent_dim) each


class RNN(GenerativeModel):
    """A sequence model that is trained on the bound, on clips of growing length, and sampled from the priors.

    Args:
        encoder: frames (N, C, H, W) -> vectors (N, F) and maps.
        dynamics: the stochastic recurrence, with the interface of `networks.dynamics.Dynamics`.
        decoder: maps and motion -> frames in [-1, 1], with the interface of `networks.frames.FrameDecoder`.
        discriminator: pairs of a start image and a later frame (N, 2 C, H, W) -> logits (N,), for `adversarial`.
        optimizer: called with the parameters of the other networks.
        discriminator_optimizer: called with those of the discriminator.
        image_size, channels: of a frame.
        num_frames: frames of a training clip, and the default length of a sample.
        given_frames: frames from which the others are predicted, k.
        likelihood: a name of `SUPPORTED`.
        adversarial: weight of the `Adversary` beside the bound; 0 trains without a discriminator.
        gamma: weight of (R1 + R2) / 2 of the discriminator, one number or the ends of a `Schedule`.
        curriculum: schedules of clip length and loss weights.
        grad_clip: maximum norm of the gradient.
        futures: roll-outs per clip from which validation takes the best.
        num_classes: 0 for an unconditional model.
        num_actions: actions of which one leads to each frame; 0 = none.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for an unsupported likelihood, or a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "sequences"
    network_nodes: ClassVar[tuple[str, ...]] = ("encoder", "dynamics", "decoder", "discriminator")
    ema_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "dynamics.", "decoder.", "log_scale")
    export_prefixes: ClassVar[tuple[str, ...]] = ("encoder.", "dynamics.", "decoder.", "starts.", "actions.")

    # modules whose methods the docstring names
    encoder: Any
    dynamics: Any
    decoder: Any

    def __init__(
        self,
        encoder: nn.Module,
        dynamics: nn.Module,
        decoder: nn.Module,
        discriminator: nn.Module,
        optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        image_size: int | tuple[int, int],
        channels: int,
        num_frames: int,
        given_frames: int,
        likelihood: str,
        adversarial: float,
        gamma: float | Sequence[float],
        curriculum: Curriculum,
        grad_clip: float,
        futures: int,
        num_classes: int,
        num_actions: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__()
        check_unused(_shared)
        if likelihood not in SUPPORTED:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(SUPPORTED)}")
        self.automatic_optimization = False
        self.encoder, self.dynamics, self.decoder = encoder, dynamics, decoder
        self.optimizer, self.discriminator_optimizer = optimizer, discriminator_optimizer
        self.adversary = Adversary(discriminator, adversarial, Schedule.of(gamma)) if adversarial else None
        self.sharpens = bool(adversarial)
        self.num_frames, self.given_frames, self.num_classes = num_frames, given_frames, num_classes
        self.num_actions = num_actions
        self.likelihood = LIKELIHOODS[likelihood]
        self.monitor = self.likelihood.objective
        self.latent_dim: int = self.dynamics.latent_dim
        self.curriculum = curriculum
        self.grad_clip, self.futures, self.final_lr = grad_clip, futures, final_lr
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        log_scale = torch.tensor(-2.0)  # 0.14 in [-1, 1]: frames are inaccurate at first
        if self.likelihood.scale == "learned":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        self.starts = KeptStarts(start_shape(given_frames, (channels, height, width)))
        self.actions = DrawnActions(num_actions) if num_actions else None

    def configure_optimizers(self) -> list[Optimizer]:
        """The optimizer of the model, and that of the discriminator if there is one."""
        optimizers = [self.optimizer(self._weights())]
        if self.adversary is not None:
            optimizers.append(self.discriminator_optimizer(self.adversary.parameters()))
        return optimizers

    def networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {
            "encoder": self.encoder, "dynamics": self.dynamics, "decoder": self.decoder,
        }  # fmt: skip
        if self.adversary is not None:
            networks["discriminator"] = self.adversary
        return networks

    def _weights(self) -> list[nn.Parameter]:
        """All parameters but those of the discriminator."""
        return [weight for name, weight in self.named_parameters() if not name.startswith("adversary.")]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """A step of the model, after one of the discriminator if there is one.

        Returns the loss without the adversary in nats per pixel, so that `grad_clip` suits any size, and metrics in
        nats per frame.
        """
        optimizers = self.optimizers()
        optimizer, *others = optimizers if isinstance(optimizers, list) else [optimizers]
        optimizer.zero_grad()
        clips, labels = check_clips(batch["images"], self.given_frames), self._labels_of(batch)
        curriculum, progress, before = self.curriculum, self.progress, self.given_frames - 1
        clips = clips[:, : before + curriculum.frames(progress, clips.shape[1] - before)]
        noise = torch.randn(len(clips), clips.shape[1] - before, self.latent_dim, device=clips.device)
        actions = self._actions_of(batch, clips.shape[1])
        bound = self._bound(clips, labels, noise, curriculum.opening(progress), actions)
        loss = (
            curriculum.clip_kl_weight(progress) * bound.kl_clip
            + curriculum.frame_kl_weight(progress) * bound.kl_frames
            + curriculum.tracking_weight(progress) * bound.tracking
            - bound.reconstruction
        )
        loss = loss.mean() / bound.frames[0].numel()
        metrics = {name: value.mean() for name, value in bound.metrics(self.likelihood).items()} | {"loss": loss}
        if self.adversary is not None:
            parts = (self.adversary, others[0], clips[:, before:], labels, bound, loss, actions)
            metrics["loss_d"], adversarial = self._adversarial_losses(*parts)
            loss = loss + adversarial
        self.manual_backward(loss)
        # products over many frames can explode (Pascanu et al. 2013)
        nn.utils.clip_grad_norm_(self._weights(), self.grad_clip)
        optimizer.step()
        return {name: value.detach() for name, value in metrics.items()}

    def _adversarial_losses(
        self,
        adversary: Adversary,
        optimizer: LightningOptimizer,
        clips: Tensor,
        labels: Tensor | None,
        bound: Bound,
        loss: Tensor,
        actions: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Updates the discriminator. Returns its loss, and the weighted loss of the model beside `loss`.

        clips: from the last given frame on.
        """
        times = torch.randint(1, clips.shape[1], (len(clips),), device=clips.device)
        drawn = self._draw_at(bound.scene, times, clips.shape[1], labels, actions)
        real, fake = pairs(clips, drawn, times)
        step = self.images_seen // (len(clips) * world_size())
        optimizer.zero_grad()
        critic_loss, real_logits = adversary.critic_loss(real, fake, step, self.progress)
        self.manual_backward(critic_loss)
        optimizer.step()
        return critic_loss, adversary.loss(fake, real_logits, loss, bound.frames, self.progress)

    def _draw_at(
        self, scene: Scene, times: Tensor, length: int, labels: Tensor | None, actions: Tensor | None
    ) -> Tensor:
        """One frame of each clip as it is sampled, with gradients: (B, C, H, W).

        Only vectors are computed of the others, which is cheap.

        Args:
            times: int64 (B,), from 1, the frame after the last given one, to length - 1.
        """
        noise = torch.randn(len(times), length, self.latent_dim, device=times.device)
        w = reparameterise(*self._clip_prior(scene), noise[:, 0])
        step = self._begin(scene, w, labels)
        path = self._run_dynamics(step, self._prior, noise[:, 1:], range(1, length), actions)
        rows = torch.arange(len(times), device=times.device)
        chosen = (value[rows, times - 1].unsqueeze(1) for value in path[1:])
        opening = self.curriculum.opening(self.progress)
        return self._draw(scene.layers, self._sharpened(Path(path.step, *chosen)), opening).squeeze(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The bound and its terms in nats per frame, and the errors of free-running roll-outs, each (B,).

        `mse_mean` is the mean error of `futures` roll-outs and `mse_best` that of the best one. `mse_copy` is that of a
        static copy of the start image, and `mse_best_unrelated` that of the best of as many other clips of the batch,
        because the best of several guesses has a small error even if none knows anything. Errors are squared errors of
        pixels in [0, 1], summed over a frame and averaged over frames. `motion` is the same between a roll-out and its
        start image; that of the data is `mse_copy`. `ssim_best` and `ssim_copy` are the SSIM of the best roll-out and
        of the copy: a blurred frame may have a small squared error, but not a high SSIM.
        """
        clips, labels, given = (
            check_clips(batch["images"], self.given_frames),
            self._labels_of(batch),
            self.given_frames,
        )
        start, truth = start_of(clips, given), clips[:, given:]
        actions = self._actions_of(batch, clips.shape[1])
        free = partial(self.sample, labels=labels, start=start, num_frames=clips.shape[1], actions=actions)
        futures = [free(noise.of_future(future))[:, given:] for future in range(self.futures)]
        errors = torch.stack([frame_error(future, truth) for future in futures])
        still = clips[:, given - 1 : given]
        copy = frame_error(still, truth)
        best = torch.stack(futures)[errors.argmin(0), torch.arange(len(truth), device=truth.device)]
        bound = self._bound(clips, labels, noise.normal(truth.shape[1] + 1, self.latent_dim), actions=actions)
        return bound.metrics(self.likelihood) | {
            "mse_mean": errors.mean(0),
            "mse_best": errors.amin(0),
            "mse_best_unrelated": best_unrelated_error(truth, self.futures, copy),
            "mse_copy": copy,
            "motion": frame_error(futures[0], still),
            "ssim_best": frame_ssim(best, truth),
            "ssim_copy": frame_ssim(still.expand_as(truth), truth),
        }

    def sample(
        self,
        noise: Noise,
        *,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        start: Tensor | None = None,
        num_frames: int | None = None,
        actions: Tensor | None = None,
    ) -> Tensor:
        """Animations (N, T, C, H, W) in [-1, 1], which begin with the given frames.

        Args:
            start: (N, *start_shape) in [-1, 1]; None draws from the stored ones, by the classes `labels`.
            num_frames: T, of any length; None is the length of training clips.
            actions: those that lead to the predicted frames, int64 (N, T - k), if the model has actions; None draws
                them at random, as often as in the training data.
        """
        if start is None:
            start, labels = self.starts.draw(noise.of_start(), labels if self.num_classes else None)
        if start.shape[0] != len(noise):
            raise ValueError(f"{len(noise)} animations need {len(noise)} start images, got shape {tuple(start.shape)}")
        if self.num_classes and labels is None:
            raise UserError("classes", None, "the class of every start image, because this model is conditional")
        length = self.num_frames if num_frames is None else num_frames
        return torch.cat(list(self.stream(start, length, noise, labels, temperature, actions)), dim=1)

    @torch.no_grad()
    def stream(
        self,
        start: Tensor,
        num_frames: int,
        noise: Noise,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        actions: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Yields `sample` in pieces (N, t, C, H, W), the given frames and at most `CHUNK` others, in bounded memory."""

        def drawn(times: range) -> Tensor:
            return temperature * noise.normal(len(times), self.latent_dim, skip=times.start * self.latent_dim)

        count = num_frames - self.given_frames
        if actions is None and self.actions is not None:
            actions = self.actions.draw(noise, count)
        yield from self._roll_out(start, count, drawn, labels, actions)

    @torch.no_grad()
    def animate(
        self, start: Tensor, noise: Tensor, labels: Tensor | None = None, actions: Tensor | None = None
    ) -> Tensor:
        """`sample` as a function of its noise: clips (N, T, C, H, W) in [-1, 1] that begin with the given frames.

        Args:
            start: (N, *start_shape) in [-1, 1].
            noise: standard normal (N, 1 + T - k, latent_dim): row 0 for the clip, then a row for each predicted frame.
            actions: int64 (N, T - k), if the model has actions.
        """
        count = noise.shape[1] - 1
        frames = self._roll_out(start, count, lambda times: noise[:, times.start : times.stop], labels, actions)
        return torch.cat(list(frames), dim=1)

    def _roll_out(
        self,
        start: Tensor,
        count: int,
        noise: Callable[[range], Tensor],
        labels: Tensor | None,
        actions: Tensor | None,
    ) -> Iterator[Tensor]:
        """Yields the given frames, then `count` frames from the priors.

        Args:
            noise: times -> standard normal (N, len(times), latent_dim), for w at time 0 and for z_t at time t.
        """
        given = frames_of(start, self.given_frames)
        yield given
        scene = self._look(given)
        w = reparameterise(*self._clip_prior(scene), noise(range(1)).squeeze(1))
        step = self._begin(scene, w, labels if self.num_classes else None)
        for begin in range(1, count + 1, CHUNK):
            times = range(begin, min(begin + CHUNK, count + 1))
            path = self._run_dynamics(step, self._prior, noise(times), times, actions)
            step = path.step
            yield self._draw(scene.layers, self._sharpened(path))

    @torch.no_grad()
    def reconstruct(self, images: Tensor, labels: Tensor | None = None, actions: Tensor | None = None) -> Tensor:
        """Reconstructs clips (B, T, C, H, W) in [-1, 1] from their given frames and the means of their latents.

        actions: all of the clips, int64 (B, T - 1), if the model has actions.
        """
        given = self.given_frames
        means = torch.zeros(len(images), 1 + images.shape[1] - given, self.latent_dim, device=images.device)
        labels = labels if self.num_classes else None
        bound = self._bound(images, labels, means, actions=self._actions_of({"actions": actions}, images.shape[1]))
        return torch.cat([images[:, :given], bound.frames], dim=1)

    def keep_starts(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Stores up to 32 starts (N, *start_shape), uint8 or in [-1, 1], with their classes in the checkpoint."""
        self.starts.keep(images, labels)

    def keep_actions(self, shares: Tensor) -> None:
        """Stores how often each action occurs, float32 (num_actions,), in the checkpoint."""
        assert self.actions is not None
        self.actions.keep(shares)

    def _actions_of(self, batch: Batch, length: int) -> Tensor | None:
        """The actions that lead to the predicted frames of the first `length` frames, int64 (B, length - k).

        None for a model without actions.
        """
        if not self.num_actions:
            return None
        if batch.get("actions") is None:
            raise UserError("model.actions", True, "clips with actions", "train with model.actions=false")
        return batch["actions"][:, self.given_frames - 1 : length - 1]

    def _bound(
        self,
        clips: Tensor,
        labels: Tensor | None,
        noise: Tensor,
        opening: float = 1.0,
        actions: Tensor | None = None,
    ) -> Bound:
        """The bound with latents drawn from the posteriors.

        Args:
            noise: standard normal (N, 1 + T - k, latent_dim): row 0 for w, then a row for each predicted frame. Zeros
                give the posteriors' means.
            actions: int64 (N, T - k), if the model has actions.
        """
        last = self.given_frames - 1
        scene = self._look(clips)
        observation = scene.observation
        w = _bounded(scene.clip_latent)
        step = self._begin(scene, reparameterise(*w, noise[:, 0]), labels)
        kl_frames: list[Tensor] = []

        def latent(step: Any, t: int) -> Latent:
            posterior = _bounded(self.dynamics.posterior(step, observation, last + t))
            kl_frames.append(gaussian_kl_between(*posterior, *self._prior(step, t)))
            return posterior

        path = self._run_dynamics(step, latent, noise[:, 1:], range(1, noise.shape[1]), actions)
        frames = self._draw(scene.layers, path, opening)
        return Bound(
            reconstruction=self._log_likelihood(frames, clips[:, last + 1 :]),
            kl_clip=gaussian_kl_between(*w, *self._clip_prior(scene)),
            kl_frames=torch.stack(kl_frames).sum(0),
            tracking=tracking_error(path.predicted, observation.measured[:, last + 1 :]),
            frames=frames,
            scene=scene,
        )

    def _look(self, clips: Tensor) -> Scene:
        """What clips (B, T, C, H, W) show, of at least the given frames."""
        count, length = clips.shape[:2]
        last = self.given_frames - 1
        features, maps = self.encoder(clips.flatten(0, 1))  # all frames in one call
        features = features.unflatten(0, (count, length))
        start_maps = [level.unflatten(0, (count, length))[:, last] for level in maps]
        layers = self.decoder.split(clips[:, last], start_maps)
        scene = Scene(features[:, last], start_maps[-1], layers)
        if length == 1:  # nothing moves
            return scene
        observation, clip_latent = self.dynamics.observe(features, layers.measure_shifts(clips))
        return scene._replace(observation=observation, clip_latent=clip_latent)

    def _begin(self, scene: Scene, w: Tensor, labels: Tensor | None) -> Any:
        """The state of the dynamics at the last given frame."""
        layout = scene.layers.centroid_and_extent()
        given = scene.observation.measured[:, : self.given_frames] if self.given_frames > 1 else None
        return self.dynamics.begin(w, scene.context, scene.context_map, layout, labels, given)

    def _clip_prior(self, scene: Scene) -> Latent:
        """p(w | given frames); N(0, I) if there is one only."""
        if self.given_frames > 1:
            return _bounded(self.dynamics.recall(scene.observation.evidence[:, self.given_frames - 1]))
        # not len(): a traced export takes any number of clips
        zeros = scene.context.new_zeros(scene.context.shape[0], self.latent_dim, dtype=torch.float32)
        return zeros, zeros

    def _prior(self, step: Any, t: int) -> Latent:
        """p(z_t | the past)."""
        return _bounded(self.dynamics.prior(step))

    def _run_dynamics(
        self,
        step: Any,
        latent: Callable[[Any, int], Latent],
        noise: Tensor,
        times: range,
        actions: Tensor | None,
    ) -> Path:
        """Runs the dynamics at `times`; z_t is drawn from `latent(previous step, t)` with noise (N, len(times), D).

        actions: int64 (N, T - k), of which number t - 1 leads to the frame at time t; None without actions.
        """
        steps = []
        for t, drawn in zip(times, noise.unbind(1), strict=True):
            step = self.dynamics.act(step, None if actions is None else actions[:, t - 1])
            step = self.dynamics(reparameterise(*latent(step, t), drawn), step)
            steps.append((step.core[0], step.motion.shift, step.motion.predicted, step.motion.sigma))
        return Path(step, *(torch.stack(values, dim=1) for values in zip(*steps, strict=True)))

    def _draw(self, layers: Any, path: Path, opening: float = 1.0) -> Tensor:
        """Draws all frames of a path in one call: (B, T - 1, C, H, W) in [-1, 1]."""
        canvas = self.dynamics.core.canvas(path.hidden.flatten(0, 1))
        return self.decoder(layers, canvas, path.shift, path.sigma, opening).clamp(-1, 1)

    def _sharpened(self, path: Path) -> Path:
        """The path with the narrowest kernels, for a model with an adversary.

        A wide kernel is the safe guess of the likelihood about where a layer is, and blurs it. Narrow ones already in
        training would leave the blur to drawn pixels (docs/results.md, Colour clips).
        """
        if not self.sharpens:
            return path
        return path._replace(sigma=torch.full_like(path.sigma, self.dynamics.least_sigma))

    def _log_likelihood(self, frames: Tensor, images: Tensor) -> Tensor:
        """log p(images | frames) in nats per clip, (B,)."""
        return self.likelihood.log_prob(self.likelihood.outputs(frames), self.log_scale, images)


def _bounded(gaussian: tuple[Tensor, Tensor]) -> Latent:
    mean, log_var = gaussian
    return mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)
