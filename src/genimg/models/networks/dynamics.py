"""The stochastic recurrence of an animation: from the start image's features to the motion of its layers.

    w ~ N(0, I)                        one latent for the whole clip: which way things go, and how fast
    z_t ~ p(z_t | h_{t-1})             one latent a frame, with a learned prior: what could not be foreseen
    h_t = core(w, z_t, where the layers are and where they go, h_{t-1}, context)
    velocity_t = keep_t velocity_{t-1} + push_t
    foreseen_t = shift_{t-1} + velocity_t
    shift_t = foreseen_t + surprise(z_t, h_t)

keep and push are read from h_t, velocity_0 from w. Inertia is what things do until the network learns better. A
surprise moves a layer without changing its velocity, for the rounding of a position to whole pixels is no motion; and
since every step starts where the last one really ended, what is learned is the rule from one frame to the next.

In training w and z_t come from posteriors that see the clip. The learned prior is SVG-LP's (Denton & Fergus 2018,
section 3.2), the roll-out in latents alone SRVP's (Franceschi et al. 2020): no frame is fed back, so training and
free running walk the same path and differ in nothing but where the latents come from.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, class_vectors
from genimg.models.networks.frames import coarsest_map
from genimg.models.networks.recurrent import CORES, State

# A frame's way is small beside a latent: these bring parts of the image to the size of 1.
POSITION_UNIT = 0.25
VELOCITY_UNIT = 1 / 16


class Gaussian(NamedTuple):
    """A diagonal Gaussian; `log_var` is not bounded yet. Both (B, latent_dim), float32."""

    mean: Tensor
    log_var: Tensor


class Motion(NamedTuple):
    """How K layers lie in one frame. Lengths are in parts of the image's height and width, down and to the right."""

    shift: Tensor  # (B, K, 2) from where they lie in the start image
    foreseen: Tensor  # (B, K, 2), the shift without its surprise
    velocity: Tensor  # (B, K, 2) a frame
    sigma: Tensor  # (B, K), spread of the transport's kernel in pixels


class Step(NamedTuple):
    """Everything that goes from one frame to the next."""

    core: State
    motion: Motion
    w: Tensor  # (B, latent_dim)
    places: Tensor  # (B, K, 4): centre and extent of the layers in the start image


class Seen(NamedTuple):
    """What the posteriors know of a clip."""

    evidence: Tensor  # (B, T, 2 features): of every frame, and of all frames up to it
    measured: Tensor  # (B, T, K, 2): the layers' shifts by matching


class Dynamics(nn.Module):
    """The recurrent core with its posteriors, its learned prior and the heads that read the motion.

    Args:
        recurrent: `lstm` (vectors recur) or `conv_lstm` (maps recur).
        image_size, width, max_width, features: as in the encoder, whose vector and coarsest map come in.
        latent_dim: length of w, and of every z_t.
        layers: layers that move, K.
        hidden: units of the core.
        first_sigma: spread of the transport's kernel at the start of training, in pixels. Wide, because the
            gradient of a position reaches as far as the kernel does.
        least_sigma: its lower bound, in pixels. A quarter moves by whole pixels.
        num_classes: 0 for unconditional dynamics; else a learned embedding of the class joins the context.
    """

    def __init__(
        self,
        recurrent: str,
        image_size: ImageSize,
        width: int,
        max_width: int,
        features: int,
        latent_dim: int,
        layers: int,
        hidden: int,
        first_sigma: float,
        least_sigma: float,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        if recurrent not in CORES:
            raise ValueError(f"recurrent must be one of {', '.join(CORES)}, got {recurrent!r}")
        self.layers, self.latent_dim = layers, latent_dim
        self.least_sigma = least_sigma
        self.sigma_offset = math.log(math.expm1(first_sigma))  # softplus of it is first_sigma
        self.embedding = nn.Embedding(num_classes, features) if num_classes else None
        self.core = CORES[recurrent](
            features, 2 * latent_dim + 8 * layers, coarsest_map(image_size, width, max_width), hidden
        )
        self.watch = nn.LSTM(features + 4 * layers, features, batch_first=True)
        self.to_w = nn.Linear(features, 2 * latent_dim)
        self.to_prior = nn.Linear(hidden, 2 * latent_dim)
        self.to_posterior = nn.Linear(2 * features + hidden + 2 * layers, 2 * latent_dim)
        self.to_velocity = nn.Linear(latent_dim, 2 * layers)
        self.to_surprise = nn.Linear(latent_dim + hidden, 2 * layers)
        last = nn.Linear(hidden // 2, 5 * layers)
        self.to_motion = nn.Sequential(nn.Linear(hidden, hidden // 2), nn.LeakyReLU(0.2), last)
        heads = (self.to_w, self.to_prior, self.to_posterior, self.to_velocity, self.to_surprise, last)
        for head in heads:
            nn.init.normal_(head.weight, std=0.01)  # the KL starts near 0, and the layers start at rest
            nn.init.zeros_(head.bias)

    def begin(
        self, w: Tensor, context: Tensor, context_map: Tensor, places: Tensor, labels: Tensor | None = None
    ) -> Step:
        """The state at the start image.

        Args:
            w: (B, latent_dim).
            context, context_map: the start image's vector (B, features) and map (B, c, h, w).
            places: where its layers lie, (B, K, 4).
            labels: its class, int64 (B,), when conditional.
        """
        if self.embedding is not None:
            context = context + class_vectors(self.embedding, labels)
        velocity = self._per_layer(self.to_velocity(w))
        still = torch.zeros_like(velocity)
        motion = Motion(still, still, velocity, still[..., 0])
        return Step(self.core.begin(context, context_map), motion, w, places)

    def observe(self, features: Tensor, measured: Tensor) -> tuple[Seen, Gaussian]:
        """A clip's features (B, T, F) and measured shifts (B, T, K, 2) -> what is seen, and q(w | clip)."""
        ways = torch.diff(measured, dim=1, prepend=measured[:, :1])
        parts = [features, measured.flatten(2) / POSITION_UNIT, ways.flatten(2) / VELOCITY_UNIT]
        watched, _ = self.watch(torch.cat(parts, dim=2))
        return Seen(torch.cat([features, watched], dim=2), measured), _gaussian(self.to_w(watched[:, -1]))

    def prior(self, step: Step) -> Gaussian:
        """p(z_t | h_{t-1})."""
        return _gaussian(self.to_prior(self.core.summary(step.core)))

    def posterior(self, step: Step, seen: Seen, t: int) -> Gaussian:
        """q(z_t | h_{t-1}, frames 0 to t), which is told how far off inertia is."""
        error = (seen.measured[:, t] - step.motion.shift - step.motion.velocity).flatten(1) / VELOCITY_UNIT
        parts = [self.core.summary(step.core), seen.evidence[:, t], error]
        return _gaussian(self.to_posterior(torch.cat(parts, dim=1)))

    def forward(self, z: Tensor, step: Step) -> Step:
        """One frame on, by z_t (B, latent_dim)."""
        shift, _, velocity, _ = step.motion
        centre, extent = step.places.split(2, dim=2)
        inputs = [
            step.w,
            z,
            (centre + shift - 0.5).flatten(1) / POSITION_UNIT,
            extent.flatten(1) / POSITION_UNIT,
            shift.flatten(1) / POSITION_UNIT,
            velocity.flatten(1) / VELOCITY_UNIT,
        ]
        core = self.core(torch.cat(inputs, dim=1), step.core)
        summary = self.core.summary(core)
        turn, push, spread = self._per_layer(self.to_motion(summary)).split((2, 2, 1), dim=2)
        velocity = (1 + turn) * velocity + 0.5 * push  # keep = 1 + turn: -1 is a bounce
        foreseen = shift + velocity
        surprise = 0.2 * self._per_layer(self.to_surprise(torch.cat([z, summary], dim=1)))
        sigma = self.least_sigma + F.softplus(2 * spread.squeeze(2) + self.sigma_offset)
        return Step(core, Motion(foreseen + surprise, foreseen, velocity, sigma), step.w, step.places)

    def _per_layer(self, raw: Tensor) -> Tensor:
        """(B, K * n) -> (B, K, n), each layer told by what it differs in from the one before it: what moves as one
        image at first, and parts only where that pays, needs few nats."""
        return raw.float().unflatten(1, (self.layers, -1)).cumsum(1)


def _gaussian(raw: Tensor) -> Gaussian:
    return Gaussian(*raw.float().chunk(2, dim=1))
