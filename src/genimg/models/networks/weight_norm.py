"""Weight normalisation (Salimans & Kingma 2016) with one learning rate for narrow and wide layers."""

import torch
from torch import nn
from torch.nn.utils import parametrizations

#: Inputs of an output above which the learning rate of its weights is reduced: 32 channels of 3 x 3 pixels.
REFERENCE = 288


def normalise_weights(network: nn.Module) -> None:
    """Makes each output of convolutions and fully connected layers have the weight g v / |v|; no output changes.

    Adam changes each element of v by about the learning rate, and the weight in proportion to 1 / |v|, whose size is
    free. It begins as that of the weight, and is larger in a layer of many inputs n, by n / `REFERENCE`. A step then
    changes the output of a layer by an amount that does not grow with n, as in the rule for Adam of Yang et al. 2022,
    "Tensor Programs V: Tuning large neural networks via zero-shot hyperparameter transfer", table 3,
    https://arxiv.org/abs/2203.03466.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            inputs = layer.weight[0].numel()
            parametrizations.weight_norm(layer)
            with torch.no_grad():
                layer.get_parameter("parametrizations.weight.original1").mul_(max(1.0, inputs / REFERENCE))
