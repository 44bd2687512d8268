"""The residual GAN: spectral normalisation, conditional batch normalisation, self-attention and every image size."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genimg.models.networks.attention import SelfAttention
from genimg.models.networks.resnet import ClassNorm, Discriminator, Generator
from genimg.models.networks.shape import ImageSize, NetworkShape
from genimg.models.networks.spectral import SpectralNorm, convolution, linear, normalised


def norms(network: nn.Module) -> Tensor:
    """The largest singular value of each weight with spectral normalisation, in eval mode."""
    network.eval()
    layers: list[Any] = [layer for layer in network.modules() if hasattr(layer, "parametrizations")]
    return torch.stack([torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2) for layer in layers])


@pytest.mark.parametrize(
    "layer", [convolution(3, 5, 3, spectral=True), linear(7, 4, spectral=True), normalised(nn.Embedding(6, 8))]
)
def test_a_normalised_weight_has_a_largest_singular_value_of_one(layer: nn.Module) -> None:
    for _ in range(200):
        layer.train().weight  # noqa: B018 - one step of the power iteration
    torch.testing.assert_close(norms(layer), torch.ones(1))


def test_the_gradient_is_that_of_a_weight_divided_by_its_norm() -> None:
    """Of W / |W|_2, which torch differentiates by a singular value decomposition."""
    torch.manual_seed(0)
    layer: SpectralNorm = SpectralNorm(5)
    weight = torch.randn(5, 2, 3, 3, requires_grad=True)
    target = torch.randn_like(weight)
    for _ in range(500):
        layer(weight.detach())
    (ours,) = torch.autograd.grad((layer(weight) * target).sum(), weight)
    exact = weight / torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    (theirs,) = torch.autograd.grad((exact * target).sum(), weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_an_average_of_vectors_is_scaled_to_length_one() -> None:
    """As the EMA makes it; in eval mode nothing is updated, and the vector keeps its place in memory."""
    layer: SpectralNorm = SpectralNorm(5)
    weight, place = torch.randn(5, 7), layer.u.data_ptr()
    for _ in range(50):
        layer(weight)
    before = layer.eval()(weight)
    layer.u.mul_(0.3)
    kept = layer.u.clone()
    torch.testing.assert_close(layer(weight), before)
    assert torch.equal(layer.u, kept) and layer.u.data_ptr() == place


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 50, 100, (64, 48), (8, 256)])
@pytest.mark.parametrize("attention", [None, 4, 256])
def test_outputs_have_the_right_shape(size: ImageSize, classes: int, attention: int | None) -> None:
    shape = NetworkShape(size, 3, 4, 8, 8, 4, classes)
    labels = torch.tensor([0, 2]) if classes else None
    images = Generator(shape, 8, attention, spectral=attention is not None, padding="zeros")(torch.randn(2, 8), labels)
    assert images.shape == (2, 3, *shape.height_width)
    discriminator = Discriminator(shape, attention)
    assert discriminator(images, labels).shape == (2,)
    attended = [layer for layer in discriminator.modules() if isinstance(layer, SelfAttention)]
    assert len(attended) == (0 if attention is None else 1)


def test_every_weight_of_the_discriminator_is_normalised() -> None:
    """Also with classes and attention: 3 layers for each of 4 blocks but the last shortcut, 4 of attention, 2 at the
    end. A step of the power iteration belongs to each pass of a batch."""
    torch.manual_seed(0)
    discriminator = Discriminator(NetworkShape(32, 3, 4, 16, 8, 4, 3), 8)
    for _ in range(200):
        discriminator(torch.randn(1, 3, 32, 32), torch.tensor([1]))
    assert len(norms(discriminator)) == 3 * 4 - 1 + 4 + 2
    torch.testing.assert_close(norms(discriminator), torch.ones(17), rtol=0, atol=1e-3)


def test_attention_starts_as_the_identity_and_reads_the_whole_map() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(8, spectral=False)
    x = torch.randn(2, 8, 6, 5, requires_grad=True)
    assert torch.equal(attention(x), x)
    attention.strength.data.fill_(1.0)
    (gradient,) = torch.autograd.grad((attention(x) - x)[0, :, 0, 0].sum(), x)
    assert (gradient[0].abs().sum(0).flatten().count_nonzero() > 6 * 5 / 4) and not gradient[1].any()


def test_attention_is_the_softmax_of_the_scores() -> None:
    """Against a sum over positions, written out."""
    torch.manual_seed(0)
    attention = SelfAttention(8, spectral=False)
    attention.strength.data.fill_(0.5)
    x = torch.randn(1, 8, 2, 2)
    with torch.no_grad():
        key, value = (layer(x).amax((2, 3)) for layer in (attention.key, attention.value))  # one pooled position
        expected = x + 0.5 * attention.output(value[:, :, None, None].expand(-1, -1, 2, 2))
        torch.testing.assert_close(attention(x), expected)
        x = torch.randn(1, 8, 4, 2)
        query, tall_key, tall_value = attention.query(x)[0], attention.key(x)[0], attention.value(x)[0]
        keys, values = (
            torch.stack([part[:, :2].amax((1, 2)), part[:, 2:].amax((1, 2))]) for part in (tall_key, tall_value)
        )
        weights = torch.stack([(keys[n][:, None, None] * query).sum(0).exp() for n in (0, 1)])  # (2, H, W)
        mixed = (weights[:, None] * values[:, :, None, None]).sum(0) / weights.sum(0)
        torch.testing.assert_close(attention(x), x + 0.5 * attention.output(mixed[None]))
    assert key.shape == (1, 1)


def test_conditional_batch_normalisation_scales_and_shifts_by_class() -> None:
    torch.manual_seed(0)
    norm, plain = ClassNorm(4, 3), nn.BatchNorm2d(4, affine=False)
    x = 3 * torch.randn(6, 4, 5, 5) + 1
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    torch.testing.assert_close(norm(x, labels), plain(x))
    assert norm.embedding is not None
    norm.embedding.weight.data[1] = torch.tensor([1.0] * 4 + [5.0] * 4)
    h, expected = norm(x, labels), plain(x)
    torch.testing.assert_close(h[2:4], 2 * expected[2:4] + 5)
    torch.testing.assert_close(h[:2], expected[:2])


def test_the_discriminator_projects_its_features_on_the_class() -> None:
    """Logits of two classes differ by features . (e_a - e_b), which is linear in the features."""
    torch.manual_seed(0)
    discriminator = Discriminator(NetworkShape(16, 3, 4, 8, 8, 4, 3), None).eval()
    images = torch.randn(2, 3, 16, 16)
    features: list[Tensor] = []
    discriminator.to_logit.register_forward_hook(lambda layer, inputs, output: features.append(inputs[0]))
    with torch.no_grad():
        one, two = (discriminator(images, torch.full((2,), label)) for label in (0, 2))
        assert discriminator.embedding is not None
        classes = discriminator.embedding(torch.tensor([0, 2]))
        torch.testing.assert_close(one - two, features[0] @ (classes[0] - classes[1]))
    with pytest.raises(ValueError, match="labels"):
        discriminator(images)


def test_a_logit_does_not_depend_on_the_other_images_of_the_batch() -> None:
    discriminator = Discriminator(NetworkShape(16, 1, 4, 8, 8, 4), 8)
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images)[0], images)
    assert gradient[0].abs().sum() > 0 and gradient[1:].abs().sum() == 0
