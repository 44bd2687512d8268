"""The code RNN: an autoencoder with discrete codes, and a recurrent prior that draws codes.

    log p(x) >= log p(c) + log p(x | c),    c = codes(x)

One term of p(x) = sum_c p(c) p(x | c) is a lower bound of it. It is the ELBO of a posterior that is certain of one
code map, whose KL to the prior is -log p(c) (van den Oord et al. 2017, "Neural discrete representation learning",
https://arxiv.org/abs/1711.00937, where the prior is a PixelCNN).
"""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genimg.common.noise import Noise
from genimg.models.base import Batch, GenerativeModel, OptimizerFactory, check_unused
from genimg.models.networks.code_prior import CodePrior
from genimg.models.networks.quantisers import Quantised, Quantiser
from genimg.models.objectives.likelihoods import LIKELIHOODS

#: Share of the run after which the autoencoder is not trained, and the prior learns codes that no longer change.
SETTLED = 0.6

#: Share of the images whose codes the prior learns before, while they change; a step of it costs as much as the rest.
UNSETTLED_SHARE = 0.25


class CodeRNN(GenerativeModel):
    """An autoencoder to a map of codes, and a prior over them, trained in one run.

    A conditional prior is also trained without the class, for a share of the images, so that samples can be guided (Ho
    & Salimans 2022, "Classifier-free diffusion guidance"). The autoencoder does not read classes.

    Args:
        encoder: images (B, C, H, W) in [-1, 1] -> features (B, F, h, w).
        quantiser: features -> codes (B, h, w) and back.
        decoder: features (B, F, h, w) -> means of the pixels (B, C, H, W), unbounded.
        code_prior: the distribution of codes.
        optimizer: called with the parameters, as groups.
        num_classes: 0 for an unconditional model.
        label_dropout: share of the images whose class is unknown in training.
        grad_clip: maximum norm of the gradient of the prior.
        final_lr: fraction of the learning rate at the end of the training of each part.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    monitor: tuple[str, Literal["min", "max"]] = ("frechet_random", "min")
    network_nodes: ClassVar[tuple[str, ...]] = ("encoder", "quantiser", "decoder", "code_prior")
    exact_likelihood: ClassVar[bool] = False
    importance_sampled: ClassVar[bool] = False
    reconstructs_classes: ClassVar[bool] = False

    def __init__(
        self,
        encoder: nn.Module,
        quantiser: Quantiser,
        decoder: nn.Module,
        code_prior: CodePrior,
        optimizer: OptimizerFactory,
        num_classes: int,
        label_dropout: float,
        grad_clip: float,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        super().__init__()
        check_unused(_shared)
        self.encoder, self.quantiser, self.decoder, self.code_prior = encoder, quantiser, decoder, code_prior
        self.optimizer = optimizer
        self.num_classes, self.label_dropout = num_classes, label_dropout
        self.grad_clip, self.final_lr = grad_clip, final_lr
        self.likelihood = LIKELIHOODS["discretized_logistic"]
        self.log_scale = nn.Parameter(torch.tensor(-2.0))  # 0.14 in [-1, 1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer with two groups: the autoencoder, whose learning rate ends at `SETTLED`, and the prior."""
        prior = list(self.code_prior.parameters())
        members = set(prior)
        autoencoder = [weight for weight in self.parameters() if weight not in members]
        return self.optimizer([{"params": autoencoder, "until": SETTLED}, {"params": prior, "until": 1.0}])

    def networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in self.network_nodes}

    @property
    def settled(self) -> bool:
        """Whether the autoencoder is trained no more."""
        return self.progress >= SETTLED

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The loss of the autoencoder in nats per value, until it is settled, and that of the prior in nats per code.

        Their gradients do not mix: the prior sees codes, which have none.
        """
        images, labels = batch["images"], self._labels_of(batch)
        with torch.set_grad_enabled(not self.settled):
            quantised = self.quantised(images)
        share = 1.0 if self.settled else UNSETTLED_SHARE
        kl = self._learned_code_nats(quantised.codes, labels, max(1, round(share * len(images))))
        loss = kl.mean() / quantised.codes[0].numel()
        metrics = {"kl": kl.mean(), "codes_used": self.quantiser.codes_used()}
        if not self.settled:
            reconstruction = self._log_likelihood(quantised.features, images).mean()
            loss = loss + quantised.penalty - reconstruction / images[0].numel()
            metrics |= self._bound(reconstruction, kl.mean(), images) | {"scale": self.log_scale.exp()}
            self.quantiser.update(quantised)
        return {"loss": loss} | {name: value.detach() for name, value in metrics.items()}

    def _learned_code_nats(self, codes: Tensor, labels: Tensor | None, count: int) -> Tensor:
        """-log p(codes) of the first images, (count,), of which a share has no class."""
        return self._code_nats(codes[:count], self._dropped(None if labels is None else labels[:count]))

    def _dropped(self, labels: Tensor | None) -> Tensor | None:
        """Labels, of which a share is the label of an unknown class."""
        if labels is None:
            return None
        unknown = torch.rand(len(labels), device=labels.device) < self.label_dropout
        return torch.where(unknown, self.num_classes, labels)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient of the prior: products over many codes can explode (Pascanu et al. 2013)."""
        nn.utils.clip_grad_norm_(self.code_prior.parameters(), self.grad_clip)

    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The bound and its terms in nats, bits per dimension, and the squared error of reconstructions, each (B,).

        `kl` is -log p(codes). `mse` is the mean over pixels in [0, 1].
        """
        images, labels = batch["images"], self._labels_of(batch)
        quantised = self.quantised(images)
        reconstruction = self._log_likelihood(quantised.features, images)
        metrics = self._bound(reconstruction, self._code_nats(quantised.codes, labels), images)
        error = 0.5 * (self._mean_image(quantised.features) - images)
        return metrics | {"mse": error.square().flatten(1).mean(1)}

    def _bound(self, reconstruction: Tensor, kl: Tensor, images: Tensor) -> dict[str, Tensor]:
        bits = (kl - reconstruction) / (images[0].numel() * math.log(2))
        parts = {"kl": kl, "reconstruction": reconstruction, "bits_per_dim": bits}
        return self.likelihood.bound(reconstruction, kl) | parts

    def no_likelihood(self) -> str | None:
        """None: it has a bound."""
        return None

    def log_likelihood(
        self, images: Tensor, labels: Tensor | None, *, samples: int, generator: torch.Generator
    ) -> Tensor:
        """The lower bound log p(c) + log p(x | c) of log p(x) in nats, (B,). Nothing is drawn."""
        quantised = self.quantised(images)
        labels = labels if self.num_classes else None
        return self._log_likelihood(quantised.features, images) - self._code_nats(quantised.codes, labels)

    def quantised(self, images: Tensor) -> Quantised:
        """The codes of images (B, C, H, W), and their features."""
        return self.quantiser(self.encoder(images))

    def _code_nats(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """-log p(codes), (B,)."""
        return -self.code_prior.log_prob(codes, labels).flatten(1).sum(1)

    def _log_likelihood(self, features: Tensor, images: Tensor) -> Tensor:
        """log p(x | codes) in nats, (B,)."""
        return self.likelihood.log_prob(self.decoder(features), self.log_scale, images)

    def sample(self, noise: Noise, *, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """See the base class. The log-probabilities of codes are divided by `temperature`; 0 takes the likeliest."""
        return self._draw(noise, self._requested(labels), temperature, 1.0)

    def sample_guided(self, noise: Noise, labels: Tensor, temperature: float, guidance: float) -> Tensor:
        """See `Guided`; the log-probabilities of codes are guided."""
        return self._draw(noise, labels, temperature, guidance)

    @torch.no_grad()
    def _draw(self, noise: Noise, labels: Tensor | None, temperature: float, guidance: float) -> Tensor:
        uniform = noise.uniform(*self.code_prior.map_size, len(self.code_prior.levels))
        codes = self.code_prior.sample(uniform, labels, temperature, guidance)
        return self._mean_image(self.quantiser.decode(codes))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean images (B, C, H, W) in [-1, 1] of the codes of `images`."""
        return self._mean_image(self.quantised(images).features)

    def _mean_image(self, features: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(features).float())
