"""A user's own folder of images."""

from __future__ import annotations

from dataclasses import dataclass, field

from genimg.common.errors import UserError
from genimg.data.cache import cache_folder
from genimg.data.decode import Background, Decoder, as_rgb
from genimg.data.fit import FITS, Fit
from genimg.data.images import ImageFiles, load_images
from genimg.data.items import ImageShape, Items, Part
from genimg.data.listing import list_images, require_images
from genimg.data.reading import warn_of_links


@dataclass(frozen=True)
class ImageFolder:
    """Images below `root`: flat, or one folder for each class.

    fit: "crop" the middle to the shape's proportions, "pad" with the background, or "stretch".
    background: colour under what is transparent and around what is padded.
    cache: keep the decoded images on disk: true = in the user's cache folder, or a path.
    follow_links: follow symbolic links that lead out of `root`.
    """

    root: str | None
    fit: Fit = "crop"
    background: Background = "white"
    cache: bool | str = False
    follow_links: bool = False
    own_test: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> Items:
        if self.fit not in FITS:
            raise UserError("data.fit", self.fit, ", ".join(FITS))
        require_images(self.root, self.follow_links)
        found = list_images(str(self.root), self.follow_links)
        warn_of_links(found.skipped_links, str(self.root))
        files = ImageFiles(found.paths, found.labels, found.classes)
        decoder = Decoder(shape, self.fit, as_rgb(self.background))
        return load_images(files, decoder, cache_folder(self.cache, "images"))
