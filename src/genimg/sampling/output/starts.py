"""What clips start from: files of the user, or samples of another model."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import OF_RUN
from genimg.data.decode import Decoder
from genimg.sampling.clip_inputs import read_clips
from genimg.sampling.images.files import to_pillow
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.inputs import BACKGROUND, read_images
from genimg.sampling.load import checkpoint_file, from_checkpoint
from genimg.sampling.memory import check_kept
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.sampler import Sampler
from genimg.sampling.trained import TrainedModel


def read_start(trained: TrainedModel, options: SampleOptions, trust: list[str]) -> Tensor:
    """The images (N, C, H, W) that `start` names, or the first frames (N, k, C, H, W) of the clips, uint8.

    Args:
        trust: packages whose classes the checkpoint of another run may name.
    """
    start = options.start
    assert start is not None
    given = trained.model.given_frames
    if isinstance(start, str) and start.startswith(OF_RUN):
        if given > 1:
            raise UserError("start", start, f"clips, because this model continues {given} given frames")
        return _drawn(trained, options, start.removeprefix(OF_RUN), trust)
    if given > 1:
        return read_clips(start, trained.image_shape, given, "start", options.skip_unreadable, 6)
    return read_images(start, trained.image_shape, "start", options.skip_unreadable, 6)[1]


def _drawn(trained: TrainedModel, options: SampleOptions, run: str, trust: list[str]) -> Tensor:
    """The first `num_images` samples of another run with the same seed, fitted to the size of the model."""
    other = _load(run, str(trained.device), trust)
    count = options.num_images
    check_kept("num_images", count, other.image_shape, "fewer images")
    decoder = Decoder(trained.image_shape, "crop", BACKGROUND)
    samples = to_uint8(other.sample(count, seed=options.seed))
    return torch.from_numpy(np.stack([decoder.convert(to_pillow(image)) for image in samples]))


def _load(run: str, device: str, trust: list[str]) -> Sampler:
    other = from_checkpoint(load_checkpoint(checkpoint_file(Path(run), key="start")), device, trust)
    if other.makes_sequences:
        got = f"{OF_RUN}{run}, a run of a model of sequences"
        raise UserError("start", got, "a run of a model of still images: model=gan, vae, draw, pixel_rnn or code_rnn")
    return other
