"""Images of latents of given images: those of a projection, and those of its file of latents."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.files import write_json
from genimg.sampling.images.files import save_many, save_png
from genimg.sampling.images.sheets import check_sheet, contact_sheet, to_float, to_uint8
from genimg.sampling.inputs import Paths, read_images
from genimg.sampling.interpolation import walk
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import ON_SHEET, file_name, save_each, sheet_cells
from genimg.sampling.output.stills import save_strips
from genimg.sampling.projected import Latents, read_latents, stream_latents
from genimg.sampling.sampler import Sampler
from genimg.sampling.trained import TrainedModel

log = logging.getLogger(__name__)

_LOGGED = 20  # images whose error is logged; projection.json has all
_BYTES = 30  # of a value of an image: 1 of the original, and 4 as target, result, edit, difference, and 8-bit copies
_AMPLIFIED = 4  # factor of the difference that is shown
#: Options that change the images of latents.
_CHANGES = ("directions", "interpolate", "frames")


@dataclass(frozen=True)
class ImageError:
    """The error of one projected image.

    rmse: root mean squared error of the values in [-1, 1].
    psnr: peak signal-to-noise ratio in dB, 20 log10(2 / rmse).
    """

    file: str
    label: str | None
    rmse: float
    psnr: float


def write_projections(sampler: Sampler, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    """Writes projected.png (each original, its reconstruction, and four times their difference), the reconstructions in
    images/, latents.npz, and projection.json with the error of each image.

    With `directions`, the changed images are in the fourth column and in edited/. With `interpolate`,
    interpolation.png and .gif lead from each image to the next.
    """
    options.check_used("project", ("project_space", "project_steps", "classes", *_CHANGES))
    shift = sampler.shift(options.directions)
    files, originals = read_images(paths, sampler.image_shape, "project", options.skip_unreadable, _BYTES)
    _check_walk(options, len(files), sampler.image_shape, "project")
    targets = to_float(originals)
    latents = sampler.project(
        targets,
        options.classes,
        project_space=options.project_space,
        project_steps=options.project_steps,
        seed=options.seed,
    )
    drawn = sampler.draw(latents)
    errors = list(_errors(sampler, options, files, drawn - targets))
    made = {"images": to_uint8(drawn)}
    if shift is not None:
        made["edited"] = to_uint8(sampler.draw(latents, options.directions))
    for name, images in made.items() if options.individual else ():
        places = [folder / name / f"{index:05d}-{file_name(file.stem)}.png" for index, file in enumerate(files)]
        save_many(save_png, zip(images, places, strict=True))
    difference = to_uint8(_AMPLIFIED * (drawn - targets).abs() - 1)
    columns = [originals, made.pop("images"), difference, *made.values()]
    table = torch.stack(columns, 1)[:ON_SHEET]  # (N, 3 or 4, C, H, W)
    save_png(contact_sheet(table.flatten(0, 1), *table.shape[:2]), folder / "projected.png")
    latents.save(folder / "latents.npz")
    settings = {"space": latents.space, "steps": options.project_steps, "seed": options.seed}
    write_json(folder / "projection.json", settings | {"images": [asdict(one) for one in errors]})
    _log(errors)
    _write_walk(sampler, latents, shift, options, folder)
    return folder / "projected.png"


def write_latents(trained: TrainedModel, options: SampleOptions, path: str, folder: Path) -> Path:
    """Writes the images of a file of latents, changed along `directions`: sheet.png and images/, and with `interpolate`
    interpolation.png and .gif.
    """
    options.check_used("latents", ("rows", "columns", *_CHANGES))
    latents = read_latents(path, trained)
    _check_walk(options, len(latents), trained.image_shape, "latents")
    images = stream_latents(trained, latents, options.directions)
    shown, rows, columns = sheet_cells(options, len(latents), trained.image_shape)
    width = max(4, len(str(len(latents) - 1)))
    paths = (folder / "images" / f"{index:0{width}d}.png" for index in range(len(latents)))
    first = save_each(save_png, images, paths, shown, options)
    save_png(contact_sheet(first, rows, columns), folder / "sheet.png")
    _write_walk(trained, latents, trained.shift(options.directions), options, folder)
    return folder / "sheet.png"


def _check_walk(options: SampleOptions, count: int, shape: Sequence[int], key: str) -> None:
    """Raises UserError unless `interpolate` has enough images and memory, or `frames` a GIF."""
    if options.frames and options.interpolate is None:
        raise UserError("frames", "true", "false; images are PNGs already", hint="interpolate=8 writes a GIF")
    if options.interpolate is not None and not 2 <= count <= ON_SHEET:
        raise UserError(key, f"{count} images", f"2 to {ON_SHEET} images with interpolate")
    if options.interpolate is not None:
        check_sheet(count, options.interpolate + 1, shape, "interpolate")


def _write_walk(
    trained: TrainedModel, latents: Latents, shift: Tensor | None, options: SampleOptions, folder: Path
) -> None:
    if options.interpolate is not None:
        save_strips(walk(trained, latents, options.interpolate, shift), options, folder)


def _errors(
    trained: TrainedModel, options: SampleOptions, files: Iterable[Path], differences: Tensor
) -> Iterator[ImageError]:
    classes = trained.class_choice(options.classes)
    mean_squares = differences.square().mean((1, 2, 3)).clamp(min=1e-12)
    for index, (file, square) in enumerate(zip(files, mean_squares, strict=True)):
        psnr = 10 * torch.log10(4 / square)
        yield ImageError(str(file), classes.name(index), float(square.sqrt()), float(psnr))


def _log(errors: list[ImageError]) -> None:
    for one in errors[:_LOGGED]:
        log.info("%s: PSNR %.1f dB, rmse %.3f", one.file, one.psnr, one.rmse)
    if len(errors) > _LOGGED:
        mean = sum(one.psnr for one in errors) / len(errors)
        log.info("... and %s more in projection.json; mean PSNR %.1f dB", len(errors) - _LOGGED, mean)
