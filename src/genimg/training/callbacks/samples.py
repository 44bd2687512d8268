"""Draws samples during training, always from the same latents, so that their progress is visible."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from genimg.common.noise import Noise
from genimg.models.base import Augments, Batch, Reconstructs
from genimg.sampling.images.files import save_gif, save_png
from genimg.sampling.images.sheets import contact_sheet, sheet_over_time, side_by_side, to_uint8
from genimg.training.callbacks.base import RunCallback
from genimg.training.loggers import log_gif, log_image

log = logging.getLogger(__name__)

_SEED = 0  # of the latents, the same in every run, so that sheets of two runs compare
_PAIRS = 16  # images on a sheet of reconstructions, or of augmented images


class Samples(RunCallback):
    """Writes sheets to RUN/samples/during and the loggers; animations of a sequence model; reconstructions of a VAE;
    training images before and after the augmentation of a GAN. Once, at the start, it writes training images to
    RUN/samples/data.png, and clips to data.gif besides, as the model sees them: cropped, resized and split.

    Args:
        times: sheets per run.
        num_images: images on a sheet.
        num_clips: animations of a sequence model.
    """

    passive: ClassVar[bool] = True

    def __init__(self, times: int, num_images: int, num_clips: int) -> None:
        self.times, self.num_images, self.num_clips = times, num_images, num_clips

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sheet = self.context.folder.samples / "data.png"
        with self.timed():
            if not sheet.exists():
                self._try(trainer, lambda: self._show_data(sheet))

    def after_step(self, trainer: Trainer) -> None:
        if not self.context.clock.due(self.times):
            return
        with self.timed(), self.context.ema.applied():
            self._try(trainer, lambda: self.draw(trainer))

    def _try(self, trainer: Trainer, write: Callable[[], None]) -> None:
        """Writes files on one process. A full disk costs the files, not the run."""
        try:
            if trainer.is_global_zero:
                write()
        except OSError as error:
            log.warning("no sample sheet was written: %s. The run continues.", error)

    def _show_data(self, sheet: Path) -> None:
        data = self.context.data
        count = self.num_images if data.num_frames is None else self.num_clips
        images = torch.cat([batch["images"] for batch in data.evenly_spaced("train", count)])
        if data.num_frames is not None:
            save_gif(contact_sheet(images), sheet.with_suffix(".gif"))
        save_png(contact_sheet(images) if data.num_frames is None else sheet_over_time(images), sheet)

    def draw(self, trainer: Trainer) -> None:
        """Writes the sheets of this step."""
        model, data, images_seen = self.context.model, self.context.data, self.context.clock.images_seen
        count = self.num_images if data.num_frames is None else self.num_clips
        labels = torch.arange(count, device=model.device) % len(data.classes) if model.num_classes else None
        images = to_uint8(model.sample(Noise.of_first(count, _SEED, model.device), labels=labels))
        file = self.context.folder.samples / "during" / f"{images_seen:09d}"
        if isinstance(model, Reconstructs):
            sheet = self._reconstructions(model)
            save_png(sheet, file.with_name(f"{file.name}-reconstructions.png"))
            log_image(trainer, "reconstructions", sheet, images_seen)
        if isinstance(model, Augments) and (sheet := self._augmented(model)) is not None:
            save_png(sheet, file.with_name(f"{file.name}-augmented.png"))
            log_image(trainer, "augmented", sheet, images_seen)
        if data.num_frames is None:
            sheet = contact_sheet(images)
        else:
            sheet = sheet_over_time(images)
            save_gif(contact_sheet(images), file.with_suffix(".gif"))
            log_gif(trainer, "animations", file.with_suffix(".gif"), images_seen)
        save_png(sheet, file.with_suffix(".png"))
        log_image(trainer, "samples", sheet, images_seen)

    def _reconstructions(self, model: Reconstructs) -> Tensor:
        """Returns a sheet of held-out images, each beside its reconstruction."""
        batches = list(self.context.validation_batches(_PAIRS))
        originals = to_uint8(torch.cat([batch["images"] for batch in batches]))
        rebuilt = [_reconstructed(model, batch) for batch in batches]
        decoded = to_uint8(torch.cat(rebuilt))
        if originals.ndim == 4:
            return side_by_side(originals, decoded)
        return sheet_over_time(torch.stack([originals, decoded], dim=1).flatten(0, 1)[: 2 * self.num_clips])

    def _augmented(self, model: Augments) -> Tensor | None:
        """Returns a sheet of training images, each beside its augmentation; None if there is none."""
        run = self.context
        batches = list(run.to_device(run.data.evenly_spaced("train", _PAIRS)))
        images = torch.cat([batch["images"] for batch in batches])
        device = images.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # training draws the same as without the sheet
            torch.manual_seed(_SEED)
            seen = model.augmented(images)
        return None if seen is None else side_by_side(to_uint8(images), to_uint8(seen))


def _reconstructed(model: Any, batch: Batch) -> Tensor:
    actions = {"actions": batch["actions"]} if "actions" in batch else {}
    return model.reconstruct(batch["images"], batch.get("labels"), **actions)
