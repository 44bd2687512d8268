"""LPIPS: a perceptual distance from AlexNet activations, calibrated on human judgements (Zhang et al. 2018, eq. 1).

torchmetrics provides the computation and the calibration weights. AlexNet's own weights come from torchvision. An
evaluation does not download them: the metric is available if they are in torch's cache.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from genimg.common.errors import UserError
from genimg.evaluation.features.pretrained import check_weights
from genimg.models.networks.efficientnet import as_rgb
from genimg.sampling.images.sheets import to_float

_URL: str = AlexNet_Weights.DEFAULT.url
_SMALLEST = 32  # pixels of the shorter side; AlexNet's pooling layers need at least as many

LPIPS = Callable[[Tensor, Tensor], Tensor]


def unavailable() -> str | None:
    """The reason why LPIPS cannot be computed; None if AlexNet's weights are in torch's cache."""
    return None if _file().is_file() else f"torchvision's AlexNet weights are missing: download {_URL} to {_file()}"


def load_lpips(device: torch.device) -> LPIPS:
    """Returns LPIPS as a function of two uint8 (N, 1 or 3, H, W) -> (N,), 0 for equal images.

    Grey images are repeated to three channels, small images are enlarged.
    """
    expected = f"the weights of {_URL}"
    check_weights(_file(), "lpips", expected)
    try:
        network = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(device)
    except (RuntimeError, TypeError) as error:
        raise UserError("lpips", _file(), expected, hint="its tensors have other names or shapes") from error

    @torch.no_grad()
    def distance(made: Tensor, real: Tensor) -> Tensor:
        return network(*(_preprocess(images.to(device)) for images in (made, real))).flatten().cpu()

    return distance


def _file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _URL.rpartition("/")[2]


def _preprocess(images: Tensor) -> Tensor:
    """The input of AlexNet: float32 (N, 3, H, W) in [-1, 1]."""
    images = to_float(as_rgb(images))
    shorter = min(images.shape[2:])
    if shorter >= _SMALLEST:
        return images
    size = [round(side * _SMALLEST / shorter) for side in images.shape[2:]]
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)
