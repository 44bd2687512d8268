"""Reconstructions of the user's images, each original beside its reconstruction."""

from pathlib import Path

from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import side_by_side, to_float
from genimg.sampling.inputs import Paths, read_images
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import file_name, save_each, sheet_cells
from genimg.sampling.reconstruction import stream_reconstructions
from genimg.sampling.trained import TrainedModel


def write_reconstructions(trained: TrainedModel, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    """Writes reconstructions.png, each original beside its reconstruction, and images/."""
    options.check_used("reconstruct", ("classes", "rows", "columns"))
    files, images = read_images(paths, trained.image_shape, "reconstruct", options.skip_unreadable, 6)
    shown, _, _ = sheet_cells(options, len(files), (2, *trained.image_shape))
    made = stream_reconstructions(trained, to_float(images), options.classes)
    names = (f"{index:05d}-{file_name(file.stem)}" for index, file in enumerate(files))
    images_of = (folder / "images" / f"{name}.png" for name in names)
    first = save_each(save_png, made, images_of, shown, options)
    save_png(side_by_side(images[:shown], first, options.rows, options.columns), folder / "reconstructions.png")
    return folder / "reconstructions.png"
