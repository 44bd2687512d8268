"""Projection: the latents whose images are most like given images, found by optimisation.

    start:   the 4 best of 256 random latents, of which the best result is kept
    loss:    mean squared error of the pixels, summed over the image and its halvings to 4 pixels
    steps:   those of `descent`

The generator does not change. The paper compares features of VGG16 (LPIPS), which would have to be downloaded, and also
optimises StyleGAN2's noise maps, with a penalty that keeps them noise. Here the maps are those of the samples, so that
the latents alone give the image again.

References:
    Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 5 and appendix D,
    https://arxiv.org/abs/1912.04958
    Abdal et al. 2019, "Image2StyleGAN", for a style for each layer (W+), https://arxiv.org/abs/1904.03189
"""

from typing import Any, cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.base import Decodes, HasStyles
from genimg.sampling.classes import Classes
from genimg.sampling.descent import descend, pyramid_error
from genimg.sampling.memory import check_chunk
from genimg.sampling.projected import SPACES, Latents, decode
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import CHUNK, chunks
from genimg.sampling.trained import TrainedModel

CANDIDATES = 256  # random latents among which an image finds its starts
STARTS = 4  # optimised latents of an image: one start alone often ends far from the best


def project(
    trained: TrainedModel, images: Tensor, classes: Classes | None, space: str | None, steps: int, seed: int
) -> Latents:
    """The latents of images (N, C, H, W) in [-1, 1]; `Sampler.project` describes it."""
    trained.decoder("project", "images")
    space = space or ("w+" if trained.has_styles else "z")
    if space not in SPACES:
        raise UserError("project_space", space, f"{', '.join(SPACES)} or null")
    if space != "z":
        trained.styled("project_space", space, "project_space=z")
    check_at_least("project_steps", steps, 1)
    check_at_least("seed", seed, 0)
    if images.shape[1:] != trained.image_shape:
        raise UserError(
            "project", tuple(images.shape), f"images of shape (N, {', '.join(map(str, trained.image_shape))})"
        )
    labels = trained.classes_of(len(images), classes).labels(0, len(images), trained.device)

    def draw(model: Any) -> Tensor:
        z = torch.zeros(CHUNK, model.latent_dim, requires_grad=True)
        drawn = model.decode(z, None if labels is None else labels[:1].repeat(CHUNK, *[1] * (labels.dim() - 1)))
        drawn.square().sum().backward(inputs=[z])
        return drawn

    check_chunk(trained.model, draw, 0, "use a machine with more memory")
    found = []
    for part in chunks(len(images), CHUNK // STARTS):
        targets, chosen = images[part].to(trained.device), None if labels is None else labels[part]
        found.append(_project(trained, targets, chosen, space, steps, seed))
    return Latents(torch.cat(found).cpu(), space, None if labels is None else labels.cpu())


def _project(
    trained: TrainedModel, targets: Tensor, labels: Tensor | None, space: str, steps: int, seed: int
) -> Tensor:
    """The latents (N, ...) of targets (N, C, H, W)."""
    found = [
        _starts(trained, target, None if labels is None else labels[row : row + 1], space, seed)
        for row, target in enumerate(targets)
    ]
    starts, scales = torch.cat([start for start, _ in found]), torch.cat([scale for _, scale in found])
    targets = targets.repeat_interleave(STARTS, 0)
    labels = None if labels is None else labels.repeat_interleave(STARTS, 0)
    values, errors = descend(lambda values: decode(trained, values, space, labels), starts, scales, targets, steps)
    best = errors.view(-1, STARTS).argmin(1)
    return values.unflatten(0, (-1, STARTS))[torch.arange(len(best), device=best.device), best]


@torch.no_grad()
def _starts(
    trained: TrainedModel, target: Tensor, label: Tensor | None, space: str, seed: int
) -> tuple[Tensor, Tensor]:
    """The `STARTS` best (STARTS, ...) of random latents for a target (C, H, W), and their deviation, (STARTS, 1, ...).

    Among the styles is their mean, which no latent has.
    """
    z = Noise.of_first(CANDIDATES, seed, trained.device).normal(cast(Decodes, trained.model).latent_dim)
    labels = None if label is None else label.expand(CANDIDATES + 1, *label.shape[1:])
    values = z
    if space != "z":
        w = cast(HasStyles, trained.model).style(z, None if labels is None else labels[:-1])
        values = torch.cat([w, w.mean(0, keepdim=True)])
    if space == "w+":
        values = values[:, None].repeat(1, cast(HasStyles, trained.model).num_styles, 1)
    errors = []
    for part in chunks(len(values)):
        images = decode(trained, values[part], space, None if labels is None else labels[part])
        errors.append(pyramid_error(images, target))
    best = torch.cat(errors).topk(STARTS, largest=False).indices
    scale = values.var(0).mean().sqrt()
    return values[best], scale.expand(STARTS).view(-1, *[1] * (values.dim() - 1))
