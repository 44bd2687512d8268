"""CelebA: 202,599 faces (Liu, Luo, Wang & Tang 2015), downloaded by torchvision."""

from dataclasses import dataclass, field
from pathlib import Path

from genimg.data.cache import cache_folder
from genimg.data.decode import Decoder
from genimg.data.images import ImageFiles, load_images
from genimg.data.items import ImageShape, Items, Part
from genimg.data.resize import Fit
from genimg.data.torchvision_sets import open_torchvision


@dataclass(frozen=True)
class CelebA:
    """Images of 218x178 without classes: the 40 attributes of a face are not exclusive.

    root, download, fit: as for TorchvisionStills. cache: as for ImageFolder.
    """

    root: str | None = None
    download: bool = False
    fit: Fit = "crop"
    cache: bool | str = True
    has_test_split: bool = field(default=True, init=False)

    def load(self, part: Part, shape: ImageShape) -> Items:
        faces = open_torchvision("CelebA", self.root, self.download, split=part)
        folder = Path(faces.root) / faces.base_folder / "img_align_celeba"
        files = ImageFiles([str(folder / name) for name in faces.filename])
        return load_images(files, Decoder(shape, self.fit, (0, 0, 0)), cache_folder(self.cache, "images"))
