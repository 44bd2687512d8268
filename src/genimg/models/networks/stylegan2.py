"""The generator and the discriminator of StyleGAN2.

    generator:      w = mapping(z), styles = affine(w) of each convolution, image = sum of the images of all resolutions
    discriminator:  1x1 from the image, [residual block, down] for each stage, minibatch deviation, 3x3, linear, linear

The outputs of the generator are not bounded, so `model.output` is `linear`.

References:
    Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", https://arxiv.org/abs/1912.04958
    Karras et al. 2020, "Training generative adversarial networks with limited data" (StyleGAN2-ADA), for classes,
    https://arxiv.org/abs/2006.06676
    Karras et al. 2019, "A style-based generator architecture for generative adversarial networks", for the mixing of
    styles, https://arxiv.org/abs/1812.04948
"""

from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.distributed.data_parallel import all_reduce_mean
from genimg.models.networks.equalized import SLOPE, EqualConv2d, EqualLinear
from genimg.models.networks.layers import class_vectors
from genimg.models.networks.minibatch import MinibatchDeviation
from genimg.models.networks.periodic import Padding, is_circular, wrap
from genimg.models.networks.resampling import Blur, Downsample, Upsample
from genimg.models.networks.shape import NetworkShape
from genimg.models.objectives.penalties import path_lengths

Size = tuple[int, int]
RATE = 0.01  # of the learning rate of the mapping network (Karras et al. 2019, appendix C)
PATH_MOMENTUM = 0.01  # of the mean path length (Karras et al. 2020, appendix B)


class Mapping(nn.Module):
    """From z, a class or both to w: fully connected layers with a hundredth of the learning rate.

    z and the class embedding are scaled to a mean square of 1 and concatenated.

    Args:
        latent_dim: length of z; 0 = the input is the class alone.
        w_dim: length of w.
        layers: number of layers.
        num_classes: 0 for an unconditional network.
    """

    def __init__(self, latent_dim: int, w_dim: int, layers: int, num_classes: int) -> None:
        super().__init__()
        length = latent_dim or w_dim  # of the embedding
        self.embedding = nn.Embedding(num_classes, length) if num_classes else None
        inputs = latent_dim + (length if num_classes else 0)
        self.layers = nn.Sequential(
            *(EqualLinear(a, w_dim, activate=True, rate=RATE) for a in [inputs, *[w_dim] * (layers - 1)])
        )

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> w (B, w_dim)."""
        parts = [] if z is None else [_unit_mean_square(z)]
        if self.embedding is not None:
            parts.append(_unit_mean_square(class_vectors(self.embedding, labels)))
        return self.layers(torch.cat(parts, dim=1))


def _unit_mean_square(x: Tensor) -> Tensor:
    """(B, N), each row scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """The factors (B, outputs) that give each modulated filter a norm of 1. Karras et al. 2020, eq. 3.

    Args:
        weight: (outputs, inputs, k, k).
        styles: (B, inputs).
    """
    return (F.linear(styles.square(), weight.square().sum((2, 3))) + 1e-8).rsqrt()


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, up: nn.Module | None = None, circular: bool = False
) -> Tensor:
    """The convolution of each image with its own weights, styles * weight. Karras et al. 2020, eq. 1.

    A scale of input channel i of the weights is one of channel i of the image, and a demodulation is one of an output
    channel, so that all images share a convolution (section 2.2).

    Args:
        x: (B, inputs, h, w).
        weight: (outputs, inputs, k, k), k odd.
        styles: (B, inputs).
        up: maps the transposed convolution, (B, outputs, 2 h + 1, 2 w + 1), to twice the size; None = no enlargement.
            If `circular`, it gets a line more on each side.
        circular: whether the opposite border is outside the map, instead of zeros.

    Returns:
        (B, outputs, h, w), or (B, outputs, 2 h, 2 w).
    """
    x = x * _per_channel(styles, x)
    lines = weight.shape[-1] // 2
    if circular:
        x = wrap(x, lines)
    if up is None:
        return F.conv2d(x, weight, padding=0 if circular else lines)
    return up(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2, padding=1 if circular else 0))


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """(B, C) -> (B, C, 1, 1) in the type of `like`."""
    return values.to(like.dtype)[:, :, None, None]


class StyledConv(nn.Module):
    """A modulated and demodulated convolution, noise, bias and a leaky ReLU with gain sqrt(2).

    In training the noise of each pixel is random. In eval mode it is one map, a buffer, so that an image is a function
    of its latents.

    Args:
        inputs, outputs: channels.
        w_dim: length of w.
        size: (height, width) of the output.
        up: whether the map is enlarged by 2, and cropped to `size`.
        circular: as in `modulated_conv2d`.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, size: Size, up: bool, circular: bool = False) -> None:
        super().__init__()
        self.size, self.circular = size, circular
        self.affine = EqualLinear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))  # of the noise
        self.register_buffer("noise", torch.randn(1, 1, *size))
        self.up = Blur(padding=0 if circular else 1, gain=4) if up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`x` (B, inputs, h, w), `w` (B, w_dim) -> (B, outputs, *size)."""
        height, width = self.size
        styles = self.affine(w)
        h = modulated_conv2d(x, self.weight, styles, self.up, self.circular)[:, :, :height, :width]
        noise = torch.randn(len(x), 1, height, width, device=x.device) if self.training else self.noise
        h = h * _per_channel(demodulation(self.weight, styles), h) + (self.strength * noise).to(h.dtype)
        return sqrt(2) * F.leaky_relu(h + _per_channel(self.bias[None], h), SLOPE)


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the channels of the image, without demodulation."""

    def __init__(self, inputs: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1 / sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`x` (B, inputs, h, w), `w` (B, w_dim) -> (B, channels, h, w) in float32."""
        h = modulated_conv2d(x, self.weight, self.affine(w) * self.scale)
        return h.float() + self.bias[None, :, None, None]


class Synthesis(nn.Module):
    """From a w for each layer to an image, the sum of the images of all resolutions (Karras et al. 2020, figure 7).

    Args:
        shape: the image to draw and the size of the network; w has the length `shape.hidden`.
        circular: as in `modulated_conv2d`.
    """

    def __init__(self, shape: NetworkShape, circular: bool) -> None:
        super().__init__()
        sizes = shape.resolutions()[::-1]  # coarse to fine
        widths = shape.widths(len(sizes))[::-1]
        w_dim = shape.hidden
        self.num_layers = 2 * len(sizes)  # w of an image: one for each convolution, and one for the last `to_image`
        self.constant = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.first = StyledConv(widths[0], widths[0], w_dim, sizes[0], False, circular)
        stages = list(zip(pairwise(widths), sizes[1:], strict=True))
        self.enlarge = nn.ModuleList(StyledConv(a, b, w_dim, size, True, circular) for (a, b), size in stages)
        self.refine = nn.ModuleList(StyledConv(b, b, w_dim, size, False, circular) for (_, b), size in stages)
        self.enlarge_image = nn.ModuleList(Upsample(size, circular) for size in sizes[1:])
        self.to_image = nn.ModuleList(ToImage(width, shape.channels, w_dim) for width in widths)

    def forward(self, w: Tensor) -> Tensor:
        """`w` (B, num_layers, w_dim) -> images (B, C, H, W), unbounded."""
        layers = w.unbind(1)
        # w.shape[0] and not len(w), which TorchScript would trace as a constant
        h = self.first(self.constant.expand(w.shape[0], -1, -1, -1), layers[0])
        image = self.to_image[0](h, layers[1])
        for stage, enlarge_image in enumerate(self.enlarge_image):
            h = self.enlarge[stage](h, layers[2 * stage + 1])
            h = self.refine[stage](h, layers[2 * stage + 2])
            image = enlarge_image(image) + self.to_image[stage + 1](h, layers[2 * stage + 3])
        return image


class Generator(nn.Module):
    """From a latent vector to an image.

    Args:
        shape: the image to draw and the size of the network; w has the length `shape.hidden`.
        latent_dim: length of `z`, which is scaled to a mean square of 1.
        mapping_layers: layers of the mapping network.
        style_mixing: probability in training that an image has the w of another z from a random layer on (Karras et al.
            2019, section 3.1).
        path_length: weight of the penalty of path lengths; 0 = none.
        path_length_every: steps from one penalty to the next, which is weighted by this number.
        path_length_share: share of each batch whose path lengths enter the penalty.
        padding: of its maps, a name of `PADDINGS`.
    """

    path_mean: Tensor

    def __init__(
        self,
        shape: NetworkShape,
        latent_dim: int,
        mapping_layers: int,
        style_mixing: float,
        path_length: float,
        path_length_every: int,
        path_length_share: float,
        padding: Padding,
    ) -> None:
        super().__init__()
        self.latent_dim, self.style_mixing = latent_dim, style_mixing
        self.path_length, self.path_length_share = path_length, path_length_share
        self.penalty_every = path_length_every if path_length > 0 else 0
        self.mapping = Mapping(latent_dim, shape.hidden, mapping_layers, shape.num_classes)
        self.periodic = is_circular(padding, shape)
        self.synthesis = Synthesis(shape, self.periodic)
        self.num_styles = self.synthesis.num_layers
        self.register_buffer("path_mean", torch.zeros(()))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> images (B, C, H, W), unbounded."""
        return self.synthesis(self._styles(z, labels))

    def style(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) if conditional -> styles w (B, w_dim)."""
        return self.mapping(z, labels)

    def draw(self, w: Tensor) -> Tensor:
        """Styles `w` (B, w_dim), or (B, num_styles, w_dim) with one for each layer -> images, unbounded."""
        return self.synthesis(w if w.dim() == 3 else self._for_all_layers(w))

    def style_weights(self) -> Tensor:
        """The weights (M, w_dim) of all layers that read w."""
        layers = [one for one in self.synthesis.modules() if isinstance(one, StyledConv | ToImage)]
        return torch.cat([layer.affine.weight * layer.affine.weight_scale for layer in layers])

    def penalty(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The weighted penalty of path lengths. Karras et al. 2020, eq. 4, with lazy regularisation (appendix B).

        It is the squared difference of the path lengths and their mean over training and over the processes.
        """
        count = max(1, round(len(z) * self.path_length_share))
        with torch.autocast(z.device.type, enabled=False):  # half precision loses the second derivative
            w = self._styles(z[:count], None if labels is None else labels[:count])
            lengths = path_lengths(self.synthesis(w), w)
        mean = lengths.detach().mean()
        all_reduce_mean([mean])
        self.path_mean.lerp_(mean, PATH_MOMENTUM)
        return self.penalty_every * self.path_length * (lengths - self.path_mean.clone()).square().mean()

    def _styles(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """w of each layer, (B, L, w_dim); in training, some with a second w from a random layer on."""
        w = self._for_all_layers(self.style(z, labels))
        if not (self.training and self.style_mixing > 0):
            return w
        other = self.mapping(torch.randn_like(z), labels)
        first = torch.randint(1, w.shape[1], (len(w), 1), device=w.device)
        mixed = torch.rand(len(w), 1, device=w.device) < self.style_mixing
        replaced = mixed & (torch.arange(w.shape[1], device=w.device) >= first)  # (B, L)
        return torch.where(replaced.unsqueeze(2), other.unsqueeze(1), w)

    def _for_all_layers(self, w: Tensor) -> Tensor:
        """(B, w_dim) -> (B, L, w_dim)."""
        return w.unsqueeze(1).expand(-1, self.synthesis.num_layers, -1)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves the map, beside a 1x1 convolution of the halved map.

    An odd size repeats its last line.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = EqualConv2d(inputs, inputs, 3, activate=True)
        self.blur = Blur(padding=2)
        self.conv2 = EqualConv2d(inputs, outputs, 3, activate=True, gain=sqrt(0.5), down=True)
        self.shortcut = nn.Sequential(Downsample(), EqualConv2d(inputs, outputs, 1, gain=sqrt(0.5), bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / 2, w / 2), rounded up."""
        height, width = x.shape[2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return self.conv2(self.blur(self.conv1(x))) + self.shortcut(x)


class Discriminator(nn.Module):
    """From an image to a logit, high for real images. In training, a logit depends on the other images of its group.

    A conditional discriminator is the inner product of its features and a function of the class.

    Args:
        shape: the image to read and the size of the network; `hidden` is not used.
        mapping_layers: layers of the mapping network of the class.
        group_size: images of a group of `MinibatchDeviation`; 1 = no minibatch deviation.
    """

    def __init__(self, shape: NetworkShape, mapping_layers: int, group_size: int) -> None:
        super().__init__()
        sizes = shape.resolutions()
        widths = shape.widths(len(sizes))
        last, (height, width) = widths[-1], sizes[-1]
        self.group_size = group_size
        self.from_image = EqualConv2d(shape.channels, widths[0], 1, activate=True)
        self.blocks = nn.Sequential(*(DiscriminatorBlock(a, b) for a, b in pairwise(widths)))
        self.deviation = MinibatchDeviation(group_size) if group_size > 1 else nn.Identity()
        self.conv = EqualConv2d(last + (1 if group_size > 1 else 0), last, 3, activate=True)
        self.fc = EqualLinear(last * height * width, last, activate=True)
        self.to_logit = EqualLinear(last, last if shape.num_classes else 1)
        self.mapping = Mapping(0, last, mapping_layers, shape.num_classes) if shape.num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], `labels` int64 (B,) if conditional -> logits (B,)."""
        h = self.conv(self.deviation(self.blocks(self.from_image(images))))
        h = self.to_logit(self.fc(h.flatten(1)))  # (B, C, h, w) -> (B, C*h*w) -> (B, 1), or (B, C) with classes
        if self.mapping is None:
            return h.squeeze(1)
        return (h * self.mapping(None, labels)).sum(1) / sqrt(h.shape[1])
