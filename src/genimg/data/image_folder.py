"""A user's folder of images."""

from dataclasses import dataclass, field

from genimg.common.errors import UserError
from genimg.data.cache import cache_folder
from genimg.data.decode import Background, Decoder, as_rgb
from genimg.data.images import IN_MEMORY_BYTES, ImageFiles, load_images
from genimg.data.items import ImageShape, Items, Part
from genimg.data.listing import list_images, require_images
from genimg.data.reading import warn_about_skipped
from genimg.data.resize import FITS, Fit


@dataclass(frozen=True)
class ImageFolder:
    """Images below `root`: a flat folder, or one folder for each class.

    root: the folder.
    fit: "crop" the centre to the aspect ratio of the model's images, "pad" with the background, or "stretch".
    background: colour behind transparent pixels and of the padding.
    cache: where decoded images are stored: true = in the user's cache folder, false = nowhere, or a path.
    follow_links: whether symbolic links out of `root` are followed.
    in_memory_bytes: without a cache, more decoded bytes than this are decoded when they are fetched.
    """

    root: str | None
    fit: Fit = "crop"
    background: Background = "white"
    cache: bool | str = False
    follow_links: bool = False
    in_memory_bytes: int = IN_MEMORY_BYTES
    has_test_split: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> Items:
        if self.fit not in FITS:
            raise UserError("data.fit", self.fit, ", ".join(FITS))
        require_images(self.root, self.follow_links)
        found = list_images(str(self.root), self.follow_links)
        warn_about_skipped(found.skipped, str(self.root))
        files = ImageFiles(found.paths, found.labels, found.classes)
        decoder = Decoder(shape, self.fit, as_rgb(self.background))
        return load_images(files, decoder, cache_folder(self.cache, "images"), self.in_memory_bytes)
