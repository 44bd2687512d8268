"""LPIPS: how unlike two images look, by AlexNet's activations, weighted as people judged (Zhang et al. 2018, eq. 1).

torchmetrics computes it and brings the weighting. AlexNet's own weights are torchvision's; an evaluation downloads
nothing unasked, so the figure is there where they lie in torch's cache.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from genimg.common.errors import UserError
from genimg.evaluation.features.extractor import as_rgb
from genimg.evaluation.features.pretrained import check_weights
from genimg.sampling.images.sheets import to_float

_URL: str = AlexNet_Weights.DEFAULT.url
_LEAST = 32  # pixels of the shorter side, under which AlexNet's poolings leave nothing

Perceptual = Callable[[Tensor, Tensor], Tensor]


def missing() -> str | None:
    """Why there is no LPIPS here; None where AlexNet's weights are at hand."""
    return None if _file().is_file() else f"torchvision's AlexNet weights are not at hand: {_URL} as {_file()}"


def lpips(device: torch.device) -> Perceptual:
    """uint8 (N, 1 or 3, H, W) twice -> (N,), 0 for equal images. Grey is repeated, small images are enlarged."""
    expected = f"the weights of {_URL}"
    check_weights(_file(), "lpips", expected)
    try:
        network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)
    except (RuntimeError, TypeError) as error:
        raise UserError("lpips", _file(), expected, hint="its tensors have other names or shapes") from error

    @torch.no_grad()
    def distance(made: Tensor, real: Tensor) -> Tensor:
        return network(*(_seen(part.to(device)) for part in (made, real))).flatten().cpu()

    return distance


def _file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _URL.rpartition("/")[2]


def _seen(stills: Tensor) -> Tensor:
    """As AlexNet takes them: float32 (N, 3, H, W) in [-1, 1]."""
    images = to_float(as_rgb(stills))
    shorter = min(images.shape[2:])
    if shorter >= _LEAST:
        return images
    size = [round(side * _LEAST / shorter) for side in images.shape[2:]]
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)
