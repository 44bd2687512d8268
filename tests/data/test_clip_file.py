"""The published test clips of Moving MNIST as the test split of moving images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genimg.common.errors import UserError
from genimg.data.digits import Digits
from genimg.data.module import GenerativeData
from genimg.data.moving import MovingStills


def written(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


def module(test_file: str, num_frames: int = 4, channels: int = 1) -> GenerativeData:
    source = MovingStills(Digits(), num_frames=num_frames, test_file=test_file)
    return GenerativeData(
        source, name="moving_digits", image_size=16, channels=channels, batch_size=2, kind="sequences"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_clips_of_the_file_are_the_test_split(tmp_path: Path, channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (6, 5, 16, 16), np.uint8)  # frames first
    data = module(written(tmp_path / "clips.npy", array), channels=channels)
    data.setup("fit")
    assert data.num_items == round(1797 * 0.95)  # all digits are for training and validation
    data.setup("test")
    clips = torch.cat([batch["images"] for batch in data.test_dataloader()])
    assert clips.shape == (5, 4, channels, 16, 16)
    for channel in range(channels):
        assert np.array_equal(clips[:, :, channel].numpy(), array[:4].swapaxes(0, 1))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((6, 5, 16, 17), np.uint8),
        np.zeros((6, 5, 16, 16), np.float32),
        np.zeros((3, 5, 16, 16), np.uint8),
        np.zeros((6, 0, 16, 16), np.uint8),
        np.zeros((6, 5, 16), np.uint8),
        np.array([{}]),
    ],
    ids=["size", "type", "short", "empty", "axes", "pickle"],
)
def test_another_file_is_one_message_before_training(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(UserError) as mistake:
        module(written(tmp_path / "clips.npy", array)).setup("fit")
    assert mistake.value.key == "data.test_file"


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"\x93NUMPY\x01\x00text", b"text"])
def test_a_damaged_file_is_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clips.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"\.npy file"):
        module(str(tmp_path / "clips.npy")).setup("fit")
