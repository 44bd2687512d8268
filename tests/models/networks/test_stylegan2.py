"""StyleGAN2: its equations, the size of the published network, styles, noise and every image size."""

from math import sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.equalized import EqualConv2d, EqualLinear
from genimg.models.networks.minibatch import MinibatchDeviation
from genimg.models.networks.resampling import Blur, Upsample
from genimg.models.networks.shape import ImageSize, NetworkShape
from genimg.models.networks.stylegan2 import Discriminator, Generator, Mapping, StyledConv, modulated_conv2d


def generator(shape: NetworkShape, style_mixing: float = 0.0, path_length: float = 0.0) -> Generator:
    return Generator(
        shape, 8, 2, style_mixing, path_length, path_length_every=4, path_length_share=0.5, padding="zeros"
    )


def shape(size: ImageSize = 16, channels: int = 3, classes: int = 0) -> NetworkShape:
    return NetworkShape(size, channels, 4, 8, 12, 4, classes)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 50, 100, (64, 48), (8, 256)])
def test_outputs_have_the_right_shape(size: ImageSize, classes: int) -> None:
    labels = torch.tensor([0, 2]) if classes else None
    sizes = shape(size, classes=classes)
    images = generator(sizes)(torch.randn(2, 8), labels)
    assert images.shape == (2, 3, *sizes.height_width)
    assert Discriminator(sizes, 2, group_size=2)(images, labels).shape == (2,)


def test_the_published_network_has_as_many_parameters() -> None:
    """As counted in the official code of StyleGAN2-ADA for 256 pixels, without classes."""
    published = NetworkShape(256, 3, 64, 512, 512, 4)
    with torch.device("meta"):
        networks = Generator(published, 512, 8, 0.9, 2.0, 4, 0.5, "zeros"), Discriminator(published, 8, 4)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [24_767_458, 24_001_089]


@pytest.mark.parametrize("up", [False, True])
def test_a_styled_convolution_is_one_with_modulated_weights_for_each_image(up: bool) -> None:
    """Karras et al. 2020, eq. 1 and 3, image by image; enlarged by zeros between pixels and the filter [1, 3, 3, 1]."""
    torch.manual_seed(0)
    layer = StyledConv(3, 5, 4, (8, 6) if up else (4, 3), up).double().eval()
    layer.strength.data.fill_(0.7)
    nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 3, 4, 3).double(), torch.randn(2, 4).double()
    outputs = []
    for image, style in zip(x, w, strict=True):
        scale = layer.affine.weight @ style / sqrt(4) + layer.affine.bias
        weight = layer.weight * scale[None, :, None, None]  # eq. 1
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()  # eq. 3
        h = image
        if up:
            h = torch.zeros(3, 8, 6).double()
            h[:, ::2, ::2] = image
        h = F.conv2d(h[None], weight.flip(2, 3) if up else weight, padding=2 if up else 1)
        if up:
            taps = torch.tensor([1.0, 3, 3, 1]).double() / 4  # twice its sum of 1 on each axis
            h = F.conv2d(h, torch.outer(taps, taps).expand(5, 1, 4, 4), padding=1, groups=5)[..., :8, :6]
        h = h + 0.7 * layer.noise + layer.bias[None, :, None, None]
        outputs.append(sqrt(2) * F.leaky_relu(h, 0.2))
    torch.testing.assert_close(layer(x, w), torch.cat(outputs))


def test_a_modulated_convolution_shares_one_convolution() -> None:
    """Scaling the channels of the image is scaling those of the weights."""
    torch.manual_seed(0)
    x, weight, styles = torch.randn(2, 3, 5, 4), torch.randn(6, 3, 3, 3), torch.randn(2, 3)
    apart = [F.conv2d(x[n : n + 1], weight * styles[n][None, :, None, None], padding=1) for n in (0, 1)]
    torch.testing.assert_close(modulated_conv2d(x, weight, styles), torch.cat(apart))


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_an_equalised_layer_is_a_he_initialised_one_with_another_learning_rate(rate: float) -> None:
    """The output has variance 1 (times the gain of the activation), and a step of the stored weight moves the effective
    one by rate / sqrt(inputs) of it."""
    torch.manual_seed(0)
    linear, conv = EqualLinear(400, 2000, rate=rate), EqualConv2d(40, 200, 3, bias=False)
    assert float(linear(torch.randn(8, 400)).detach().var()) == pytest.approx(1, rel=0.1)
    assert float(conv(torch.randn(2, 40, 12, 12))[..., 1:-1, 1:-1].detach().var()) == pytest.approx(1, rel=0.1)
    x = torch.randn(3, 400)
    before = linear(x)
    step = torch.randn_like(linear.weight)
    linear.weight.data += step
    torch.testing.assert_close(linear(x) - before, x @ step.t() * rate / sqrt(400), rtol=1e-3, atol=1e-4)


def test_an_activation_keeps_the_mean_square() -> None:
    torch.manual_seed(0)
    activated = EqualLinear(400, 2000, activate=True)(torch.randn(64, 400))
    assert float(activated.detach().square().mean()) == pytest.approx((1 + 0.2**2), rel=0.05)


def test_the_mapping_reads_the_direction_of_z() -> None:
    mapping = Mapping(8, 12, 2, 0)
    z = torch.randn(3, 8)
    torch.testing.assert_close(mapping(5 * z), mapping(z))


def test_the_deviation_is_the_mean_standard_deviation_of_each_group() -> None:
    torch.manual_seed(0)
    deviation, x = MinibatchDeviation(2), torch.randn(4, 3, 2, 5)
    h = deviation(x)
    assert torch.equal(h[:, :3], x)
    for first in (0, 2):
        a, b = x[first], x[first + 1]
        expected = ((a - b).square() / 4 + 1e-8).sqrt().mean()  # of two numbers it is half their difference
        torch.testing.assert_close(h[first : first + 2, 3], expected.expand(2, 2, 5))


def test_in_eval_mode_the_deviation_is_its_average_over_training() -> None:
    """And a logit depends on its own image alone."""
    torch.manual_seed(0)
    discriminator = Discriminator(shape(), 2, group_size=4)
    images = torch.randn(8, 3, 16, 16)
    seen = []
    deviation: Any = discriminator.deviation
    deviation.MOMENTUM = 0.5
    deviation.register_forward_hook(lambda layer, inputs, output: seen.append(output[:, -1, 0, 0].mean().item()))
    for _ in range(20):
        with torch.no_grad():
            discriminator(images)
    discriminator.eval()
    alone, together = discriminator(images[:1]), discriminator(images)[:1]
    torch.testing.assert_close(alone, together)
    assert seen[-1] == pytest.approx(seen[0], rel=1e-2)


def test_noise_is_drawn_in_training_and_fixed_in_samples() -> None:
    torch.manual_seed(0)
    network = generator(shape())
    for layer in network.modules():
        if isinstance(layer, StyledConv):
            layer.strength.data.fill_(1.0)
    z = torch.randn(2, 8)
    assert not torch.equal(network(z), network(z))
    network.eval()
    assert torch.equal(network(z), network(z))
    torch.testing.assert_close(network(z)[:1], network(z[:1]))


def test_mixed_styles_have_the_second_w_from_a_random_layer_on() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []
    network = generator(shape(), style_mixing=0.5)
    network.synthesis.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    network(torch.randn(400, 8))
    changes = (seen[0][:, 1:] != seen[0][:, :-1]).any(2).sum(1)  # 1 if mixed, with L = 6 layers
    assert set(changes.tolist()) == {0, 1}
    assert changes.float().mean() == pytest.approx(0.5, abs=0.1)
    places = (seen[0][:, 1:] != seen[0][:, :-1]).any(2).sum(0)
    assert len(places) == 5 and (places > 20).all()
    network.eval()(torch.randn(4, 8))
    assert torch.equal(seen[1], seen[1][:, :1].expand_as(seen[1]))


def test_the_path_penalty_vanishes_when_all_steps_have_the_mean_length() -> None:
    """A linear synthesis has the same Jacobian everywhere; the lengths then differ only with the random images."""
    torch.manual_seed(0)
    network = generator(shape(), path_length=2.0)
    penalty = network.penalty(torch.randn(8, 8), None)
    assert penalty > 0 and network.path_mean > 0
    before = network.path_mean.clone()
    penalty.backward()
    reached = [name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert any("mapping" in name for name in reached) and any("synthesis" in name for name in reached)
    network.penalty(torch.randn(8, 8), None)
    assert network.path_mean != before


def test_blurring_keeps_a_constant_and_has_the_transposed_filter_of_enlarging() -> None:
    torch.testing.assert_close(Blur(padding=0)(torch.ones(1, 2, 6, 7)), torch.ones(1, 2, 3, 4))
    x = torch.randn(1, 2, 4, 3)
    sparse = torch.zeros(1, 2, 8, 6)
    sparse[..., ::2, ::2] = x
    torch.testing.assert_close(Blur(padding=2, gain=4)(sparse)[..., :8, :6], Upsample((8, 6))(x))
