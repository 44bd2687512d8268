"""The stochastic recurrence of an animation: from the start picture's features to motion, step after step.

    w ~ N(0, I)                        one latent for the whole clip: which way things go, and how fast
    z_t ~ p(z_t | h_{t-1})             one latent a frame, with a learned prior: what could not be foreseen
    h_t = core(w, z_t, shift_{t-1}, velocity_{t-1}, h_{t-1}, context)
    velocity_t = keep_t velocity_{t-1} + push_t,    shift_t = shift_{t-1} + velocity_t      for each layer

In training w and z_t come from posteriors that see the clip. The learned prior is SVG-LP's (Denton & Fergus 2018,
section 3.2), the roll-out in latents alone SRVP's (Franceschi et al. 2020): no frame is fed back, so training and
free running walk the same path and differ in nothing but where the latents come from.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.recurrent import CORES, State


class Gaussian(NamedTuple):
    """A diagonal Gaussian; `log_var` is not bounded yet. Both (B, latent_dim)."""

    mean: Tensor
    log_var: Tensor


class Motion(NamedTuple):
    """How K layers lie in one frame, against the start picture."""

    shift: Tensor  # (B, K, 2), down and to the right, in parts of the height and the width
    position: Tensor
    velocity: Tensor  # (B, K, 2), the same a frame
    sigma: Tensor  # (B, K), spread of the transport's kernel in pixels


class Step(NamedTuple):
    """Everything that goes from one frame to the next."""

    core: State
    motion: Motion
    places: Tensor


class Dynamics(nn.Module):
    """The recurrent core with its posteriors, its learned prior and the heads that read the motion.

    Args:
        recurrent: `lstm` (vectors recur) or `conv_lstm` (maps recur).
        features: length of a frame's feature vector.
        map_shape: (channels, height, width) of a frame's feature map.
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
        features: int,
        map_shape: Sequence[int],
        latent_dim: int,
        layers: int,
        hidden: int = 256,
        first_sigma: float = 1.5,
        least_sigma: float = 0.25,
        num_classes: int = 0,
        steer=True, place=True, jitter=True
    ) -> None:
        super().__init__()
        if recurrent not in CORES:
            raise ValueError(f"recurrent must be one of {', '.join(CORES)}, got {recurrent!r}")
        self.layers, self.latent_dim = layers, latent_dim
        self.first_sigma, self.least_sigma = first_sigma, least_sigma
        self.embedding = nn.Embedding(num_classes, features) if num_classes else None
        self.core = CORES[recurrent](features, (2 if steer else 1) * latent_dim + 8 * layers, map_shape, hidden)
        self.steer = steer
        self.to_jitter = nn.Linear(latent_dim + hidden, 2 * layers)
        self.to_launch = nn.Linear(latent_dim, 2 * layers)
        self.watch = nn.LSTM(features + 4 * layers, features, batch_first=True)
        self.to_w = nn.Linear(features, 2 * latent_dim)
        self.to_prior = nn.Linear(hidden, 2 * latent_dim)
        self.to_posterior = nn.Linear(2 * features + hidden + 2 * layers, 2 * latent_dim)
        self.to_motion = nn.Sequential(
            nn.Linear(hidden, hidden // 2), nn.LeakyReLU(0.2), nn.Linear(hidden // 2, 5 * layers)
        )
        for head in (self.to_w, self.to_prior, self.to_posterior, self.to_jitter, self.to_launch, self.to_motion[-1]):
            nn.init.normal_(head.weight, std=0.01)  # the KL starts near 0, and the layers start at rest
            nn.init.zeros_(head.bias)

    def begin(self, context: Tensor, context_map: Tensor, places, w, labels: Tensor | None = None) -> Step:
        """The start picture's vector (B, features), map (B, c, h, w) and, when conditional, class (B,)."""
        if self.embedding is not None:
            if labels is None:
                raise ValueError("these dynamics were built with classes: pass labels of shape (B,)")
            context = context + self.embedding(labels)
        still = torch.zeros(len(context), self.layers, 2, device=context.device)
        return Step(self.core.begin(context, context_map), Motion(still, still, 0.5 * self.to_launch(w).float().unflatten(1, (self.layers, 2)), still[..., 0]), places)

    def observe(self, features: Tensor, measured) -> tuple[Tensor, Gaussian]:
        ways = torch.diff(measured, dim=1, prepend=measured[:, :1])
        seen, _ = self.watch(torch.cat([features, 4 * measured.flatten(2), 16 * ways.flatten(2)], dim=2))
        return (torch.cat([features, seen], dim=2), measured), _gaussian(self.to_w(seen[:, -1]))

    def prior(self, step: Step) -> Gaussian:
        """p(z_t | h_{t-1})."""
        return _gaussian(self.to_prior(self.core.summary(step.core)))

    def posterior(self, step: Step, evidence, measured) -> Gaussian:
        """q(z_t | h_{t-1}, frames 0 to t), of the evidence (B, 2 features) of frame t."""
        return _gaussian(self.to_posterior(torch.cat([self.core.summary(step.core), evidence, 16 * (measured - step.motion.position - step.motion.velocity).flatten(1)], dim=1)))

    def forward(self, w: Tensor, z: Tensor, step: Step) -> Step:
        """One frame on. `w` and `z` (B, latent_dim)."""
        _, position, velocity, _ = step.motion
        places = step.places
        now = places[..., :2] + position
        inputs = ([w, z] if self.steer else [w]) + [4 * (now - 0.5).flatten(1), 4 * places[..., 2:].flatten(1), 4 * position.flatten(1), 16 * velocity.flatten(1)]
        core = self.core(torch.cat(inputs, dim=1), step.core)
        summary = self.core.summary(core)
        heads = self.to_motion(summary).float().unflatten(1, (self.layers, 5))
        push, turn, spread = heads.split((2, 2, 1), dim=2)
        velocity = (1 + turn) * velocity + 0.5 * push  # keep = 1 + turn: inertia to begin with, -1 is a bounce
        offset = math.log(math.expm1(self.first_sigma))  # softplus(offset) = first_sigma
        sigma = self.least_sigma + F.softplus(2 * spread.squeeze(2) + offset)
        position = position + velocity
        jitter = 0.2 * self.to_jitter(torch.cat([z, summary], dim=1)).float().unflatten(1, (self.layers, 2))
        return Step(core, Motion(position + jitter, position, velocity, sigma), places)


def _gaussian(raw: Tensor) -> Gaussian:
    return Gaussian(*raw.float().chunk(2, dim=1))
