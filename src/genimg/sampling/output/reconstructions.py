"""Reconstructions of the user's images, each original beside its reconstruction."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import side_by_side, to_float
from genimg.sampling.inputs import Paths, read_images
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import file_name, save_each, sheet_cells
from genimg.sampling.sampler import Sampler
from genimg.sampling.source import chunks


def write_reconstructions(sampler: Sampler, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    """Writes reconstructions.png, each original beside its reconstruction, and images/."""
    if options.frames:
        raise UserError("frames", "true", "false; reconstructions are PNGs already")
    options.check_unset(("seeds", "truncation_psi", "directions", "select"), "reconstruct")
    files, images = read_images(paths, sampler.image_shape, "reconstruct", options.skip_unreadable)
    shown, _, _ = sheet_cells(options, len(files), (2, *sampler.image_shape))
    classes = options.classes
    one_each = isinstance(classes, list) and len(classes) == len(files)

    def reconstructions() -> Iterator[Tensor]:
        for part in chunks(len(files)):
            chosen = classes[part] if isinstance(classes, list) and one_each else classes
            yield sampler.reconstruct(to_float(images[part]), chosen)

    names = (f"{index:05d}-{file_name(file.stem)}" for index, file in enumerate(files))
    images_of = (folder / "images" / f"{name}.png" for name in names)
    first = save_each(save_png, reconstructions(), images_of, shown, options)
    save_png(side_by_side(images[:shown], first, options.rows, options.columns), folder / "reconstructions.png")
    return folder / "reconstructions.png"
