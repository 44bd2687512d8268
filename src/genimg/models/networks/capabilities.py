"""Optional parts of the networks of a GAN, which it asks for with `isinstance`."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ComparesGroups(Protocol):
    """A discriminator whose logit depends on the images of a group: `group_size` consecutive ones.

    A batch, and its images that enter the penalty, are complete groups, each all real or all fake.
    """

    group_size: int


@runtime_checkable
class JudgesPlaces(Protocol):
    """A discriminator that also judges the places of an image, each by what it sees around it.

    One logit of an image says little about where it is wrong; logits of places say it everywhere at once, which helps
    a generator that learns from few images (patches as in Isola et al. 2017, "Image-to-image translation with
    conditional adversarial networks", section 3.2.2, beside a logit of the image).
    """

    def judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images (B, C, H, W), labels -> logits (B, 1 + N): of the image, as `forward`, then of its N places."""
        ...


@runtime_checkable
class ReadsFeatures(Protocol):
    """A discriminator that reads the features of an extractor, by the name that `features=` of task=evaluate takes.

    Distances by these features flatter the generator, because it was trained to have low ones.
    """

    reads_features: str


@runtime_checkable
class Periodic(Protocol):
    """A generator whose images are periodic, if `periodic`.

    The discriminator then sees each of them shifted on its torus by a random number of pixels: it has borders itself,
    and would otherwise never see how an image continues beyond its own. Real images are not shifted, because they are
    not periodic: a shift would show a seam, which the generator would learn.
    """

    periodic: bool


@runtime_checkable
class Penalised(Protocol):
    """A generator with a weighted penalty of its own in every `penalty_every`-th step; 0 = never."""

    penalty_every: int

    def penalty(self, z: Tensor, labels: Tensor | None) -> Tensor: ...


@runtime_checkable
class Styled(Protocol):
    """A generator in two parts: a mapping network from z to a style w, and the layers that w controls.

    Its methods are those of `HasStyles`, except that `draw` gives unbounded images.
    """

    num_styles: int

    def style(self, z: Tensor, labels: Tensor | None) -> Tensor: ...
    def draw(self, w: Tensor) -> Tensor: ...
    def style_weights(self) -> Tensor: ...
