"""The RNN: from one image to an animation, a different one for every draw of its latents.

    elbo = E_q[sum_t log p(x_t | x_0, w, z_1..t)] - KL(q(w | x) || N(0, I)) - sum_t KL(q(z_t | x_0..t, .) || p(z_t | .))

This is the bound of a sequential VAE (Chung et al. 2015, eq. 11; SVG-LP, Denton & Fergus 2018, eq. 5) with an
additional latent w of the clip. x_0 is given, so it has no likelihood. If k frames are given, x_0 stands for the last
of them, whose pixels move, and w has the prior p(w | given frames). With actions, every term is given the actions too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.common.ranks import world_size
from genimg.models.adversary import Adversary, action_shares, pairs
from genimg.models.base import Batch, OptimizerFactory, check_unused
from genimg.models.bound import Bound, Path, Scene, State, best_unrelated_error, check_clips, frame_error, frame_ssim
from genimg.models.nest import detached
from genimg.models.objectives.curriculum import Curriculum
from genimg.models.objectives.likelihoods import LIKELIHOODS
from genimg.models.objectives.tracking import tracking_error
from genimg.models.objectives.variational import (
    gaussian_kl_between,
    reparameterise,
    soft_bound,
)
from genimg.models.schedules import Schedule
from genimg.models.sequence import CHUNK, SequenceModel

#: Likelihoods that the sequence model can use: an optimal sigma would need all frames of a batch at once.
SUPPORTED = tuple(name for name, one in LIKELIHOODS.items() if one.scale != "optimal")

#: Soft bounds of the log-variance of every latent: standard deviations from 0.02 to 7.
LOG_VAR_RANGE = (-8.0, 4.0)

Latent = tuple[Tensor, Tensor]  # mean and bounded log-variance, (B, latent_dim) each


class RNN(SequenceModel):
    """A sequence model that is trained on the bound, on clips of growing length, and sampled from the priors.

    Args:
        encoder: frames (N, C, H, W) -> vectors (N, F) and maps.
        dynamics: the stochastic recurrence, with the interface of `networks.dynamics.Dynamics`.
        decoder: maps and motion -> frames in [-1, 1], with the interface of `networks.frames.FrameDecoder`.
        discriminator: pairs of a start image and a later frame (N, 2 C, H, W), and shares of the actions between them
            (N, A) or None -> logits (N,), for `adversarial`.
        optimizer: called with the parameters of the other networks.
        discriminator_optimizer: called with those of the discriminator.
        image_size, channels, num_frames, given_frames, num_actions: as in `SequenceModel`.
        likelihood: a name of `SUPPORTED`.
        adversarial: weight of the `Adversary` beside the bound; 0 trains without a discriminator.
        gamma: weight of (R1 + R2) / 2 of the discriminator, one number or the ends of a `Schedule`.
        curriculum: schedules of clip length and loss weights.
        truncation: frames after which the gradient through the state of the dynamics ends (truncated backpropagation
            through time, Williams & Peng 1990); None = the gradient of a clip is exact.
        checkpointing: whether features and frames are computed again for the gradient instead of kept, `CHUNK` at a
            time (Chen et al. 2016, "Training deep nets with sublinear memory cost").
        grad_clip: maximum norm of the gradient.
        futures: roll-outs per clip from which validation takes the best.
        num_classes: 0 for an unconditional model.
        final_lr: fraction of the learning rate at the end of the run.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for an unsupported likelihood, or a network of another model.
    """

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
        truncation: int | None,
        checkpointing: bool,
        grad_clip: float,
        futures: int,
        num_classes: int,
        num_actions: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__(image_size, channels, num_frames, given_frames, num_actions)
        check_unused(_shared)
        if likelihood not in SUPPORTED:
            raise UserError("model.likelihood", likelihood, f"one of {', '.join(SUPPORTED)}")
        self.automatic_optimization = not adversarial
        self.encoder, self.dynamics, self.decoder = encoder, dynamics, decoder
        self.optimizer, self.discriminator_optimizer = optimizer, discriminator_optimizer
        self.adversary = Adversary(discriminator, adversarial, Schedule.of(gamma)) if adversarial else None
        self.num_classes = num_classes
        self.likelihood = LIKELIHOODS[likelihood]
        self.monitor = self.likelihood.objective
        self.latent_dim: int = self.dynamics.latent_dim
        self.curriculum = curriculum
        self.truncation, self.checkpointing = truncation, checkpointing
        self.grad_clip, self.futures, self.final_lr = grad_clip, futures, final_lr
        log_scale = torch.tensor(-2.0)  # 0.14 in [-1, 1]: frames are inaccurate at first
        if self.likelihood.scale == "learned":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

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
        """The loss; with a discriminator a step of it, and then one of the model.

        Returns the loss without the adversary in nats per pixel, so that `grad_clip` suits any size, and metrics in
        nats per frame.
        """
        clips, labels = check_clips(batch["images"], self.given_frames), self._labels_of(batch)
        curriculum, progress, before = self.curriculum, self.progress, self.given_frames - 1
        clips = clips[:, : before + curriculum.frames(progress, clips.shape[1] - before)]
        noise = torch.randn(len(clips), clips.shape[1] - before, self.latent_dim, device=clips.device)
        actions = self._actions_of(batch, clips.shape[1])
        bound = self._bound(clips, labels, noise, curriculum.opening(progress), actions)
        loss = (
            curriculum.clip_kl_weight(progress) * bound.kl_clip
            + curriculum.frame_kl_weight(progress) * bound.kl_frames
            - bound.reconstruction
        )
        if tracking := curriculum.tracking_weight(progress):
            loss = loss + tracking * (bound.tracking + self._free_tracking(bound, torch.randn_like(noise), actions))
        loss = loss.mean() / bound.frames[0].numel()
        metrics = {name: value.mean().detach() for name, value in bound.metrics(self.likelihood).items()}
        if self.adversary is None:
            return metrics | {"loss": loss}
        optimizer, discriminator_optimizer = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues]
        parts = (self.adversary, discriminator_optimizer, clips[:, before:], labels, bound, loss, actions)
        loss_d, adversarial = self._adversarial_losses(*parts)
        optimizer.zero_grad()
        self.manual_backward(loss + adversarial)
        optimizer.step()
        return metrics | {"loss": loss.detach(), "loss_d": loss_d.detach()}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips the gradient of the model: products over many frames can explode (Pascanu et al. 2013)."""
        if optimizer is self.optimizer_list()[0]:
            nn.utils.clip_grad_norm_(self._weights(), self.grad_clip)

    def _free_tracking(self, bound: Bound, noise: Tensor, actions: Tensor | None) -> Tensor:
        """The tracking error of a path that sees of the clip only w, with z_t from the priors: (B,).

        On the path of the posteriors every z_t corrects the position, so that errors of the velocity never add up.
        """
        path = self._run_dynamics(bound.start, self._prior, noise[:, 1:], actions, self.truncation)
        return tracking_error(path.shift, bound.scene.observation.measured[:, self.given_frames :])

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
        noise = torch.randn(len(clips), clips.shape[1], self.latent_dim, device=clips.device)
        state = self._begin_drawn(bound.scene, noise[:, 0], labels)
        drawn = self._frame_at(state, noise[:, 1:], times, actions, self.curriculum.opening(self.progress))
        real, fake = pairs(clips, drawn, times)
        step = self.images_seen // (len(clips) * world_size())
        optimizer.zero_grad()
        shares = None if actions is None else action_shares(actions, times, self.num_actions)
        critic_loss, real_logits = adversary.critic_loss(real, fake, step, self.progress, shares)
        self.manual_backward(critic_loss)
        optimizer.step()
        return critic_loss, adversary.loss(fake, real_logits, loss, bound.frames, self.progress, shares)

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
        given = self.given_frames
        clips, labels = check_clips(batch["images"], given), self._labels_of(batch)
        truth = clips[:, given:]
        actions = self._actions_of(batch, clips.shape[1])
        shared = {"labels": labels, "start": clips[:, :given], "num_frames": clips.shape[1], "actions": actions}
        free = partial(self.sample, **shared)
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

    def begin(self, start: Tensor, noise: Tensor, labels: Tensor | None = None) -> State:
        """See the base class."""
        return self._begin_drawn(self._look(start), noise, labels if self.num_classes else None)

    def advance(self, state: State, noise: Tensor, actions: Tensor | None = None) -> tuple[Tensor, State]:
        """See the base class."""
        path = self._run_dynamics(state.step, self._prior, noise, actions)
        return self._draw(state.layers, self._sharpened(path)), state._replace(step=path.step)

    def last_frame(self, state: State, noise: Tensor, actions: Tensor | None = None) -> Tensor:
        """See the base class. Only vectors are computed of the other frames, which is cheap."""
        return self._frame_at(state, noise, torch.full((len(noise),), noise.shape[1], device=noise.device), actions)

    def _frame_at(
        self, state: State, noise: Tensor, times: Tensor, actions: Tensor | None, opening: float = 1.0
    ) -> Tensor:
        """One of the next t frames of each clip, (N, C, H, W).

        Args:
            noise: standard normal (N, t, latent_dim).
            times: int64 (N,), from 1 to t.
            actions: int64 (N, t), of a model with actions.
        """
        path = self._run_dynamics(state.step, self._prior, noise, actions)
        rows = torch.arange(len(times), device=times.device)
        chosen = (value[rows, times - 1].unsqueeze(1) for value in path[1:])
        return self._draw(state.layers, self._sharpened(Path(path.step, *chosen)), opening).squeeze(1)

    @torch.no_grad()
    def animate(
        self, start: Tensor, noise: Tensor, labels: Tensor | None = None, actions: Tensor | None = None
    ) -> Tensor:
        """`sample` as a function of its noise: clips (N, T, C, H, W) in [-1, 1] that begin with the given frames.

        Args:
            start: (N, k, C, H, W) in [-1, 1].
            noise: standard normal (N, 1 + T - k, latent_dim): row 0 for the clip, then a row for each predicted frame.
            actions: int64 (N, T - k), of a model with actions.
        """
        count = noise.shape[1] - 1
        frames = self.roll_out(start, count, lambda times: noise[:, times.start : times.stop], labels, actions)
        return torch.cat(list(frames), dim=1)

    @torch.no_grad()
    def reconstruct(self, images: Tensor, labels: Tensor | None = None, actions: Tensor | None = None) -> Tensor:
        """Reconstructs clips (B, T, C, H, W) in [-1, 1] from their given frames and the means of their latents.

        actions: all of the clips, int64 (B, T - 1), of a model with actions.
        """
        given = self.given_frames
        means = torch.zeros(len(images), 1 + images.shape[1] - given, self.latent_dim, device=images.device)
        labels = labels if self.num_classes else None
        actions = self._actions_of({"actions": actions}, images.shape[1])
        bound = self._bound(images, labels, means, actions=actions, sharpened=True)
        return torch.cat([images[:, :given], bound.frames], dim=1)

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
        sharpened: bool = False,
    ) -> Bound:
        """The bound with latents drawn from the posteriors.

        Args:
            noise: standard normal (N, 1 + T - k, latent_dim): row 0 for w, then a row for each predicted frame. Zeros
                give the posteriors' means.
            actions: int64 (N, T - k), of a model with actions.
            sharpened: whether the frames are drawn as those of samples are.
        """
        last = self.given_frames - 1
        scene = self._look(clips)
        observation = scene.observation
        w = _bounded(self.dynamics.clip_posterior(observation))
        state = self._begin(scene, reparameterise(*w, noise[:, 0]), labels)
        kl_frames: list[Tensor] = []

        def latent(step: Any, t: int) -> Latent:
            posterior = _bounded(self.dynamics.posterior(step, observation, last + t))
            kl_frames.append(gaussian_kl_between(*posterior, *self._prior(step, t)))
            return posterior

        path = self._run_dynamics(state.step, latent, noise[:, 1:], actions, self.truncation)
        frames = self._draw(state.layers, self._sharpened(path) if sharpened else path, opening)
        return Bound(
            reconstruction=self._log_likelihood(frames, clips[:, last + 1 :]),
            kl_clip=gaussian_kl_between(*w, *self._clip_prior(scene)),
            kl_frames=torch.stack(kl_frames).sum(0),
            tracking=tracking_error(path.predicted, observation.measured[:, last + 1 :]),
            frames=frames,
            scene=scene,
            start=state.step,
        )

    def _look(self, clips: Tensor) -> Scene:
        """What clips (B, T, C, H, W) show, of at least the given frames."""
        last = self.given_frames - 1
        features, start_maps = self._encode(clips, last)
        layers = self.decoder.split(clips[:, last], start_maps)
        scene = Scene(features[:, last], start_maps[-1], layers)
        if clips.shape[1] == 1:  # nothing moves
            return scene
        return scene._replace(observation=self.dynamics.observe(features, layers.measure_shifts(clips)))

    def _encode(self, clips: Tensor, start: int) -> tuple[Tensor, list[Tensor]]:
        """Features (B, T, F) of clips (B, T, C, H, W), and the maps of the frame `start`."""
        if self.checkpointing and torch.is_grad_enabled():
            parts = clips.split(CHUNK, dim=1)
            features = [checkpoint(self._features, part, use_reentrant=False) for part in parts]
            return torch.cat(cast(list[Tensor], features), dim=1), self.encoder(clips[:, start])[1]
        features, maps = self.encoder(clips.flatten(0, 1))  # all frames in one call
        shape = clips.shape[:2]
        return features.unflatten(0, shape), [level.unflatten(0, shape)[:, start] for level in maps]

    def _features(self, clips: Tensor) -> Tensor:
        return self.encoder(clips.flatten(0, 1))[0].unflatten(0, clips.shape[:2])

    def _begin_drawn(self, scene: Scene, noise: Tensor, labels: Tensor | None) -> State:
        """The state at the last given frame, with w from its prior and noise (N, latent_dim)."""
        return self._begin(scene, reparameterise(*self._clip_prior(scene), noise), labels)

    def _begin(self, scene: Scene, w: Tensor, labels: Tensor | None) -> State:
        """The state at the last given frame."""
        given = scene.observation.measured[:, : self.given_frames] if self.given_frames > 1 else None
        step = self.dynamics.begin(w, scene.context, scene.context_map, scene.layers.layout, labels, given)
        return State(scene.layers, step)

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
        actions: Tensor | None,
        truncation: int | None = None,
    ) -> Path:
        """Runs the dynamics; z_t is drawn from `latent(previous step, t)` with noise (N, t, D), t = 1, 2, ...

        Args:
            actions: int64 (N, t), of a model with actions.
            truncation: steps after which the gradient through the state ends; None = it reaches the first one.
        """
        steps = []
        for t, drawn in enumerate(noise.unbind(1), start=1):
            if truncation is not None and t > 1 and (t - 1) % truncation == 0:
                step = step._replace(core=detached(step.core), motion=detached(step.motion))
            step = self.dynamics.act(step, None if actions is None else actions[:, t - 1])
            step = self.dynamics(reparameterise(*latent(step, t), drawn), step)
            steps.append((step.core[0], step.motion.shift, step.motion.predicted, step.motion.sigma))
        return Path(step, *(torch.stack(values, dim=1) for values in zip(*steps, strict=True)))

    def _draw(self, layers: Any, path: Path, opening: float = 1.0) -> Tensor:
        """Draws all frames of a path in one call: (B, T - k, C, H, W) in [-1, 1]."""
        if self.checkpointing and torch.is_grad_enabled():
            parts = zip(*(values.split(CHUNK, dim=1) for values in (path.hidden, path.shift, path.sigma)), strict=True)
            frames = [checkpoint(self._decode, layers, *part, opening, use_reentrant=False) for part in parts]
            return torch.cat(cast(list[Tensor], frames), dim=1)
        return self._decode(layers, path.hidden, path.shift, path.sigma, opening)

    def _decode(self, layers: Any, hidden: Tensor, shift: Tensor, sigma: Tensor, opening: float) -> Tensor:
        canvas = self.dynamics.core.canvas(hidden.flatten(0, 1))
        return self.decoder(layers, canvas, shift, sigma, opening).clamp(-1, 1)

    def _sharpened(self, path: Path) -> Path:
        """The path with the narrowest kernels, with which samples are drawn.

        A wide kernel is the safe guess of the likelihood about where a layer is, and blurs it. Narrow ones already in
        training would leave the blur to drawn pixels (docs/results.md, Colour clips).
        """
        return path._replace(sigma=torch.full_like(path.sigma, self.dynamics.least_sigma))

    def _log_likelihood(self, frames: Tensor, images: Tensor) -> Tensor:
        """log p(images | frames) in nats per clip, (B,)."""
        return self.likelihood.log_prob(self.likelihood.outputs(frames), self.log_scale, images)


def _bounded(gaussian: tuple[Tensor, Tensor]) -> Latent:
    mean, log_var = gaussian
    return mean.float(), soft_bound(log_var, *LOG_VAR_RANGE)
