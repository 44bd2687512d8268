"""Clips in one file of an array, as Moving MNIST is published: mnist_test_seq.npy, uint8 (20, 10000, 64, 64).

Srivastava, Mansimov & Salakhutdinov 2015, "Unsupervised learning of video representations using LSTMs",
https://www.cs.toronto.edu/~nitish/unsupervised_video
"""

from pathlib import Path

import numpy as np
import torch

from genimg.common.errors import UserError, first_line
from genimg.data.items import ImageShape, TensorItems


def read_clips(path: str, num_frames: int, shape: ImageShape, key: str) -> TensorItems:
    """The first frames of all clips of a file, mapped into memory.

    Args:
        path: an .npy file of grey clips, uint8 (T, N, H, W), the frames first.
        num_frames: frames of a clip, at most T.
        shape: (C, H, W) of a frame; the grey values are repeated for each channel.
        key: the setting that named the file, for messages.

    Raises:
        UserError: if it is no such file.
    """
    channels, height, width = shape
    expected = f"an .npy file of uint8 clips (T, N, {height}, {width}) with T of at least {num_frames}"
    try:
        # copy on write: torch takes no read-only array
        array = np.lib.format.open_memmap(Path(path).expanduser(), mode="c")
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise UserError(key, path, expected, first_line(error)) from error
    fits = array.dtype == np.uint8 and array.ndim == 4
    if not fits or len(array) < num_frames or not array.shape[1] or array.shape[2:] != (height, width):
        raise UserError(key, path, expected, f"the file has {array.dtype} {array.shape}")
    clips = torch.from_numpy(array[:num_frames]).transpose(0, 1).unsqueeze(2)  # (N, T, 1, H, W)
    return TensorItems(clips.expand(-1, -1, channels, -1, -1), lazy=True)
