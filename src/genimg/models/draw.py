"""DRAW: an image is drawn on a canvas in steps, each with a latent of its own and at a place of its own.

    log p(x) >= E_q[log p(x | c_T)] - sum_t KL(q(z_t | z_1, ..., z_{t-1}, x) || N(0, I))

Gregor et al. 2015, "DRAW: A recurrent neural network for image generation", equations 9 to 12,
https://arxiv.org/abs/1502.04623
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genimg.models.base import OptimizerFactory, check_unused
from genimg.models.networks.draw import GlimpseDecoder, GlimpseEncoder
from genimg.models.objectives.variational import reparameterise, soft_bound
from genimg.models.variational import LOG_VAR_RANGE, Inferred, VariationalModel


class DRAW(VariationalModel):
    """A recurrent VAE that reads and writes by attention.

    All z_t are N(0, I), so z is one vector of T times their length, and `decode` draws its image.

    Args:
        encoder: reads the image and its error, and gives q(z_t).
        decoder: writes on the canvas.
        grad_clip: maximum norm of the gradient of the loss in nats per pixel value, so that it suits any size.
        glimpses: steps T of a drawing.
        optimizer, likelihood, beta, kl_warmup, num_classes, final_lr: see `VariationalModel`.
        _shared: keys of the YAML that the networks and the optimizer read by interpolation.

    Raises:
        UserError: for an unknown likelihood, or a network of another model.
    """

    produces: ClassVar[Literal["images", "sequences"]] = "images"
    network_nodes: ClassVar[tuple[str, ...]] = ("glimpse_encoder", "glimpse_decoder")
    export_prefixes: ClassVar[tuple[str, ...]] = ("decoder.",)

    def __init__(
        self,
        glimpse_encoder: GlimpseEncoder,
        glimpse_decoder: GlimpseDecoder,
        glimpses: int,
        optimizer: OptimizerFactory,
        likelihood: str,
        beta: float,
        kl_warmup: float,
        grad_clip: float,
        num_classes: int,
        final_lr: float,
        **_shared: Any,
    ) -> None:
        latent_dim = glimpses * glimpse_decoder.latent_dim
        super().__init__(optimizer, latent_dim, likelihood, beta, kl_warmup, num_classes, final_lr)
        check_unused(_shared)
        self.encoder, self.decoder, self.grad_clip = glimpse_encoder, glimpse_decoder, grad_clip

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient: products over steps can explode (Pascanu et al. 2013)."""
        nn.utils.clip_grad_norm_(self.parameters(), self.grad_clip * self.decoder.background.numel())

    def inference(self, images: Tensor, labels: Tensor | None) -> Callable[[Tensor], Inferred]:
        """See the base class. Nothing is computed once: what the encoder reads depends on what is drawn."""
        return partial(self._infer, images, labels)

    def _infer(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> Inferred:
        """noise (B, T * latent_dim)."""
        drawing, memory = self.decoder.begin(len(images)), self.encoder.begin(len(images))
        means, log_vars, latents = [], [], []
        for step in noise.split(self.decoder.latent_dim, dim=1):
            errors = images - self.likelihood.mean(drawing.canvas)
            mean, log_var, memory = self.encoder(images, errors, drawing.hidden, memory)
            log_var = soft_bound(log_var, *LOG_VAR_RANGE)
            z = reparameterise(mean, log_var, step)
            drawing = self.decoder.step(z, drawing, labels)
            means.append(mean.float())
            log_vars.append(log_var)
            latents.append(z)
        return Inferred(torch.cat(means, 1), torch.cat(log_vars, 1), torch.cat(latents, 1), drawing.canvas)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, T * latent_dim) -> mean images (N, C, H, W) in [-1, 1]."""
        *_, canvas = self.decoder.canvases(z, self._requested(labels))
        return self.likelihood.mean(canvas)

    def images_of(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the base class."""
        return self.decode(latents, labels)

    def decode_steps(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `decode`, but the images of c_0, ..., c_T, (N, T + 1, C, H, W)."""
        canvases = self.decoder.canvases(z, self._requested(labels))
        return torch.stack([self.likelihood.mean(canvas) for canvas in canvases], dim=1)

    def encode(self, images: Tensor, labels: Tensor | None = None, *, generator: torch.Generator) -> Tensor:
        """A draw of q(z | x) for each image, (B, T * latent_dim)."""
        noise = torch.randn(len(images), self.latent_dim, generator=generator, device=images.device)
        return self.inference(images, labels)(noise).z
