"""The stochastic recurrence of the sequence model: from features of the start image to the motion of its layers.

    w ~ N(0, I)                        latent of the clip: direction and speed; its prior is learned,
                                       p(w | given frames), if more than one frame is given
    z_t ~ p(z_t | h_{t-1})             latent of a frame, with a learned prior: what the past does not determine
    h_t = core(w, z_t, positions, velocities, h_{t-1}, context)
    velocity_t = keep_t velocity_{t-1} + push_t          keep and push: of h_t, w, positions and velocities
    predicted_t = shift_{t-1} + velocity_t
    shift_t = predicted_t + innovation(z_t, h_t)

With actions, core, prior and posterior of a frame also see the action that leads to it. velocity_0 is read from w,
whose posterior sees the velocity in the first predicted frame. At first w carries just that velocity, and layers keep
it. An innovation moves a layer without changing its velocity, because rounding a position to whole pixels is not
motion. Every step starts at the position that the last step reached, so the network learns the rule from one frame to
the next.

In training w and z_t come from posteriors that see the clip. The learned prior is that of SVG-LP (Denton & Fergus 2018,
section 3.2), and the roll-out in latent space that of SRVP (Franceschi et al. 2020): no frame is fed back, so training
and free running differ only in the source of the latents.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.frames import coarsest_map
from genimg.models.networks.layers import class_vectors
from genimg.models.networks.recurrent import CORES, State
from genimg.models.networks.shape import NetworkShape

# shifts are small numbers beside latents and outputs: these units bring fractions of the image to a scale of 1
POSITION_UNIT = 0.25
VELOCITY_UNIT = 1 / 16

# a layer that is farther away or faster is out of sight; a `keep` above 1 would let thousands of frames overflow
FARTHEST = 2.0
FASTEST = 1.0

CERTAIN = -4.0  # first log-variance of the numbers of w that carry a velocity: an error of half a pixel of 64

ACTION_FEATURES = 32  # length of the learned vector of an action


class Gaussian(NamedTuple):
    """A diagonal Gaussian with unbounded `log_var`; both (B, latent_dim), float32."""

    mean: Tensor
    log_var: Tensor


class Motion(NamedTuple):
    """Motion of K layers in one frame. Lengths are fractions of the image's height and width, down and to the right."""

    shift: Tensor  # (B, K, 2), from the position in the start image
    predicted: Tensor  # (B, K, 2), the shift without its innovation
    velocity: Tensor  # (B, K, 2), per frame
    sigma: Tensor  # (B, K), standard deviation of the transport kernel in pixels


class Step(NamedTuple):
    """The state that passes from one frame to the next."""

    core: State
    motion: Motion
    w: Tensor  # (B, latent_dim)
    layout: Tensor  # (B, K, 4): centroid and extent of the layers in the start image
    action: Tensor  # (B, A): the vector of the action that leads to the next frame; A is 0 without actions


class Observation(NamedTuple):
    """Features of a clip that the posteriors read."""

    evidence: Tensor  # (B, T, 2 features): features of each frame, and of all frames up to it
    measured: Tensor  # (B, T, K, 2): shifts of the layers, by `measure_shifts`


class Dynamics(nn.Module):
    """The recurrent core with its posteriors, its learned prior and its motion heads.

    Args:
        shape: as in the encoder, whose vector and coarsest map are the context; `hidden` is the number of units of the
            core. Conditional dynamics add a class embedding to the context.
        recurrent: a name of `CORES`.
        features: length of the encoder's vector.
        latent_dim: length of w and of each z_t.
        layers: number of moving layers, K.
        first_sigma: standard deviation of the transport kernel in pixels at the start of training. It is wide because
            the gradient of a position reaches as far as the kernel.
        least_sigma: lower bound of that standard deviation. At a quarter of a pixel, layers move by whole pixels.
        given_frames: frames from which the others are predicted.
        num_actions: actions of which one leads to each frame; 0 = none.

    Raises:
        ValueError: if `recurrent` is unknown.
    """

    def __init__(
        self,
        shape: NetworkShape,
        recurrent: str,
        features: int,
        latent_dim: int,
        layers: int,
        first_sigma: float,
        least_sigma: float,
        given_frames: int = 1,
        num_actions: int = 0,
    ) -> None:
        super().__init__()
        if recurrent not in CORES:
            raise ValueError(f"recurrent must be one of {', '.join(CORES)}, got {recurrent!r}")
        self.layers, self.latent_dim = layers, latent_dim
        self.features, self.given_frames = features, given_frames
        self.least_sigma = least_sigma
        self.sigma_offset = math.log(math.expm1(first_sigma))  # softplus of it is first_sigma
        hidden = shape.hidden
        self.embedding = nn.Embedding(shape.num_classes, features) if shape.num_classes else None
        self.action_vectors = nn.Embedding(num_actions, ACTION_FEATURES) if num_actions else None
        active = ACTION_FEATURES if num_actions else 0
        known = latent_dim + 8 * layers + active  # w, positions, velocities and the action
        self.core = CORES[recurrent](features, latent_dim + known, coarsest_map(shape), hidden)
        self.watch = nn.LSTM(features + 4 * layers, features, batch_first=True)
        self.to_w = nn.Linear(features + 2 * layers, 2 * latent_dim)
        self.to_prior = nn.Linear(hidden + active, 2 * latent_dim)
        self.to_posterior = nn.Linear(2 * features + hidden + 2 * layers + active, 2 * latent_dim)
        self.to_velocity = nn.Linear(latent_dim, 2 * layers)
        self.to_innovation = nn.Linear(latent_dim + hidden, 2 * layers)
        last = nn.Linear(hidden // 2, 5 * layers)
        self.to_motion = nn.Sequential(nn.Linear(hidden + known, hidden // 2), nn.LeakyReLU(0.2), last)
        heads = [self.to_w, self.to_prior, self.to_posterior, self.to_velocity, self.to_innovation, last]
        if given_frames > 1:
            self.to_recalled = nn.Linear(2 * features, 2 * latent_dim)
            heads.append(self.to_recalled)
            # of the measured velocities of given frames, later ones first: at first the last three count most
            self.recency = nn.Parameter(-torch.arange(given_frames - 1.0))
        for head in heads:
            nn.init.normal_(head.weight, std=0.01)  # the KL starts near 0 and the layers start at rest
            nn.init.zeros_(head.bias)
        self._carry_velocity()

    @torch.no_grad()
    def _carry_velocity(self) -> None:
        """Lets the first two numbers of w be the velocity with which the layers start.

        Otherwise thousands of clips pass until w means direction and speed; until then z_t carries every step, and
        samples tremble about their start.
        """
        self.to_velocity.weight.zero_()  # the other numbers of w are noise at first
        for axis in range(min(2, self.latent_dim)):
            self.to_w.weight[axis, self.features + axis :: 2] = 1 / self.layers
            self.to_velocity.weight[axis, axis] = VELOCITY_UNIT
            for head in (self.to_w, self.to_recalled) if self.given_frames > 1 else (self.to_w,):
                head.bias[self.latent_dim + axis] = CERTAIN

    def begin(
        self,
        w: Tensor,
        context: Tensor,
        context_map: Tensor,
        layout: Tensor,
        labels: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Step:
        """The state at the start image.

        Args:
            w: (B, latent_dim).
            context, context_map: vector (B, features) and map (B, c, h, w) of the start image.
            layout: centroid and extent of its layers, (B, K, 4).
            labels: its class, int64 (B,), if conditional.
            given: measured shifts of its layers in all given frames, (B, k, K, 2), if there are several. Their velocity
                continues, unless w changes it.
        """
        if self.embedding is not None:
            context = context + class_vectors(self.embedding, labels)
        velocity = self._per_layer(self.to_velocity(w))
        if given is not None:
            velocity = velocity + self._continued(given)
        still = torch.zeros_like(velocity)
        motion = Motion(still, still, velocity, still[..., 0])
        return Step(self.core.begin(context, context_map), motion, w, layout, w[:, :0])

    def act(self, step: Step, actions: Tensor | None) -> Step:
        """The same state before the actions int64 (B,), with which the dynamics must have been built."""
        if self.action_vectors is None:
            return step
        if actions is None:
            raise ValueError("dynamics with actions need the action of every frame")
        return step._replace(action=self.action_vectors(actions))

    def _continued(self, given: Tensor) -> Tensor:
        """The velocity that the measured shifts of several given frames (B, k, K, 2) continue: (B, K, 2)."""
        weights = self.recency.softmax(0).flip(0).view(-1, 1, 1)  # the last velocity has the first weight
        return (weights * given.diff(dim=1)).sum(1)

    def observe(self, features: Tensor, measured: Tensor) -> Observation:
        """The observation of features (B, T, F) and measured shifts (B, T, K, 2) of a clip."""
        velocities = torch.diff(measured, dim=1, prepend=measured[:, :1])
        parts = [features, measured.flatten(2) / POSITION_UNIT, velocities.flatten(2) / VELOCITY_UNIT]
        watched, _ = self.watch(torch.cat(parts, dim=2))
        return Observation(torch.cat([features, watched], dim=2), measured)

    def clip_posterior(self, observation: Observation) -> Gaussian:
        """q(w | clip), of a clip with more than the given frames."""
        k, measured = self.given_frames, observation.measured
        velocity = measured[:, k] - measured[:, k - 1]
        if k > 1:
            velocity = velocity - self._continued(measured[:, :k])  # `begin` adds it
        watched = observation.evidence[:, -1, self.features :]
        return _gaussian(self.to_w(torch.cat([watched, velocity.flatten(1) / VELOCITY_UNIT], dim=1)))

    def recall(self, evidence: Tensor) -> Gaussian:
        """p(w | given frames), of the evidence (B, 2 F) of the last of several."""
        return _gaussian(self.to_recalled(evidence))

    def prior(self, step: Step) -> Gaussian:
        """p(z_t | h_{t-1})."""
        return _gaussian(self.to_prior(torch.cat([self.core.summary(step.core), step.action], dim=1)))

    def posterior(self, step: Step, observation: Observation, t: int) -> Gaussian:
        """q(z_t | h_{t-1}, frames 0 to t), which reads the error of a constant velocity."""
        error = (observation.measured[:, t] - step.motion.shift - step.motion.velocity).flatten(1) / VELOCITY_UNIT
        parts = [self.core.summary(step.core), observation.evidence[:, t], error, step.action]
        return _gaussian(self.to_posterior(torch.cat(parts, dim=1)))

    def forward(self, z: Tensor, step: Step) -> Step:
        """Advances by one frame with z_t (B, latent_dim)."""
        shift, _, velocity, _ = step.motion
        centre, extent = step.layout.split(2, dim=2)
        known = [
            step.w,
            (centre + shift - 0.5).flatten(1) / POSITION_UNIT,
            extent.flatten(1) / POSITION_UNIT,
            shift.flatten(1) / POSITION_UNIT,
            velocity.flatten(1) / VELOCITY_UNIT,
            step.action,
        ]
        core = self.core(torch.cat([z, *known], dim=1), step.core)
        summary = self.core.summary(core)
        motion = self._per_layer(self.to_motion(torch.cat([summary, *known], dim=1)))
        turn, push, raw_sigma = motion.split((2, 2, 1), dim=2)
        velocity = (1 + turn) * velocity + VELOCITY_UNIT * push  # keep = 1 + turn: -1 is a bounce
        velocity = velocity.clamp(-FASTEST, FASTEST)
        predicted = shift + velocity
        innovation = VELOCITY_UNIT * self._per_layer(self.to_innovation(torch.cat([z, summary], dim=1)))
        sigma = self.least_sigma + F.softplus(2 * raw_sigma.squeeze(2) + self.sigma_offset)
        shift = (predicted + innovation).clamp(-FARTHEST, FARTHEST)
        return Step(core, Motion(shift, predicted, velocity, sigma), step.w, step.layout, step.action)

    def _per_layer(self, raw: Tensor) -> Tensor:
        """(B, K * n) -> (B, K, n), each layer as a difference from the previous layer.

        Layers start with one common motion and separate only where that lowers the loss, which costs few nats.
        """
        return raw.float().unflatten(1, (self.layers, -1)).cumsum(1)


def _gaussian(raw: Tensor) -> Gaussian:
    return Gaussian(*raw.float().chunk(2, dim=1))
