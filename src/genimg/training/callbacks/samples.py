"""Images while a run goes on: always from the same latents, so that one sees them grow."""

import logging
import time
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from genimg.models.base import GenerativeModel, Reconstructs
from genimg.sampling.images.files import save_gif, save_png
from genimg.sampling.images.sheets import contact_sheet, sheet_over_time, side_by_side, to_uint8
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.find import find, run_folder
from genimg.training.callbacks.metrics import to_loggers
from genimg.training.callbacks.validation import held_out

log = logging.getLogger(__name__)

_SEED = 0  # of the fixed latents, the same in every run: sheets of two runs can be laid side by side
_PAIRS = 16  # images on a sheet of reconstructions


class Samples(Callback):
    """Sheets into RUN/samples/during and TensorBoard; for sequences, animations besides; for a VAE, reconstructions.

    Args:
        times: how often in a run.
        num_images: images on a sheet.
        num_clips: animations of a sequence model.
    """

    def __init__(self, times: int, num_images: int, num_clips: int) -> None:
        self.times, self.num_images, self.num_clips = times, num_images, num_clips
        self.seconds_spent = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clock, model = find(trainer, Clock), cast(GenerativeModel, pl_module)
        if not clock.due(self.times):
            return
        started = time.monotonic()
        with find(trainer, EMA).applied(model):
            try:
                if trainer.is_global_zero:
                    self.draw(trainer, model, clock.images_seen)
            except OSError as error:
                log.warning("no sheet of this moment: %s. The run goes on.", error)
        self.seconds_spent += time.monotonic() - started

    def draw(self, trainer: Trainer, model: GenerativeModel, images_seen: int) -> None:
        """Write the sheets of this moment."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        generator = torch.Generator(model.device).manual_seed(_SEED)
        stills = data.num_frames is None
        count = self.num_images if stills else self.num_clips
        conditional = bool(model.num_classes)
        labels = torch.arange(count, device=model.device) % len(data.classes) if conditional else None
        folder = run_folder(trainer).samples / "during"
        images = to_uint8(model.sample(count, generator=generator, labels=labels))
        if isinstance(model, Reconstructs):
            self._draw_reconstructions(trainer, model, folder, images_seen)
        name = f"{images_seen:09d}"
        if stills:
            sheet = contact_sheet(images)
        else:
            sheet = sheet_over_time(images)
            save_gif(contact_sheet(images), folder / f"{name}.gif")
            self._log_gif(trainer, "animations", folder / f"{name}.gif", images_seen)
        save_png(sheet, folder / f"{name}.png")
        self._log_image(trainer, "samples", sheet, images_seen)

    def _draw_reconstructions(self, trainer: Trainer, model: GenerativeModel, folder: Path, images_seen: int) -> None:
        batches = list(held_out(trainer, model, _PAIRS))
        rebuilt = [cast(Any, model).reconstruct(batch["images"], batch.get("labels")) for batch in batches]
        originals, made = to_uint8(torch.cat([b["images"] for b in batches])), to_uint8(torch.cat(rebuilt))
        if originals.ndim == 4:
            sheet = side_by_side(originals, made)
        else:
            pairs = torch.stack([originals, made], dim=1).flatten(0, 1)[: 2 * self.num_clips]
            sheet = sheet_over_time(pairs)
        save_png(sheet, folder / f"{images_seen:09d}-reconstructions.png")
        self._log_image(trainer, "reconstructions", sheet, images_seen)

    def _log_image(self, trainer: Trainer, tag: str, sheet: Tensor, step: int) -> None:
        def tell(logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(tag, sheet, step)

        to_loggers(trainer, tell)

    def _log_gif(self, trainer: Trainer, tag: str, path: Path, step: int) -> None:
        """TensorBoard plays a GIF that it is given as an encoded image; its own add_video wants moviepy for that."""
        image = Summary.Image(encoded_image_string=path.read_bytes())

        def tell(logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger):
                writer = logger.experiment._get_file_writer()
                writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

        to_loggers(trainer, tell)
