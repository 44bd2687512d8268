"""Folders of clips: reading, windows, and splits by clip."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.data.decode import Decoder
from genimg.data.frame_folder import ClipWindows, FrameFolder, join_clips
from genimg.data.frames import read_clip
from genimg.data.listing import ClipListing, list_clips
from genimg.data.module import GenerativeData
from tests.data.stand_ins import gif_of, png_bomb

SHAPE = (1, 8, 8)


def frames(first: int, count: int) -> list[Image.Image]:
    """`count` images of the levels first, first + 1, ..."""
    return [Image.new("L", (8, 8), first + number) for number in range(count)]


def write_gif(path: Path, images: list[Image.Image]) -> None:
    images[0].save(path, save_all=True, append_images=images[1:])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten clips of six frames; frame f of clip c has the level 10 c + f."""
    root = tmp_path / "clips"
    root.mkdir()
    for clip in range(4):
        write_gif(root / f"{clip}.gif", frames(10 * clip, 6))
    for clip in range(4, 7):
        images = frames(10 * clip, 6)
        options = {"lossless": True, "duration": 40, "minimize_size": False}
        images[0].save(root / f"{clip}.webp", save_all=True, append_images=images[1:], **options)
    for clip in range(7, 10):
        (root / str(clip)).mkdir()
        for number, image in enumerate(frames(10 * clip, 6)):
            image.save(root / str(clip) / f"frame{number + 7}.png")  # frame10 comes after frame9
    return root


def load(folder: Path, **settings: object) -> ClipWindows:
    return FrameFolder(str(folder), **({"num_frames": 4} | settings)).load("train", SHAPE)  # type: ignore[arg-type]


def levels(windows: ClipWindows) -> torch.Tensor:
    """int64 (N, T)."""
    return windows.fetch(torch.arange(len(windows)), draw=0)[:, :, 0, 0, 0].long()


def test_the_frames_of_every_kind_of_clip_are_read_in_order(folder: Path) -> None:
    assert [clip.kind for clip in list_clips(folder)[0]].count("animation") == 7
    found = levels(load(folder))
    expected = [[10 * clip + start + frame for frame in range(4)] for clip in range(10) for start in range(3)]
    assert sorted(found.tolist()) == expected


def test_a_stride_of_n_uses_every_nth_frame(folder: Path) -> None:
    found = levels(load(folder, num_frames=3, frame_stride=2))
    assert sorted(found.tolist()) == [[10 * clip, 10 * clip + 2, 10 * clip + 4] for clip in range(10)]


def test_short_and_damaged_clips_are_listed_and_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_gif(folder / "short.gif", frames(200, 3))
    (folder / "damaged.gif").write_bytes(b"GIF89a")
    assert levels(load(folder, short="skip")).max() < 100
    assert "2 of 12 clips" in caplog.text
    assert "short.gif: ValueError (3 frames, fewer than 4)" in caplog.text
    assert "damaged.gif" in caplog.text


@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_frames_of_a_gif_that_hold_a_part_with_a_palette_of_its_own_are_complete(disposal: int, tmp_path: Path) -> None:
    images = []
    for number in range(5):
        image = Image.new("RGB", (8, 8), (255, 255, 255))
        image.paste((50 * number, 255 - 50 * number, 40), (number, 2, number + 3, 5))
        images.append(image)
    file = tmp_path / "parts.gif"
    images[0].save(file, save_all=True, append_images=images[1:], disposal=disposal)
    with Image.open(file) as stored:
        stored.seek(3)
        assert disposal == 2 or stored.tile[0][1] != (0, 0, 8, 8), "a part"
    (clip,), _ = list_clips(tmp_path)[:2]
    read = read_clip(clip, Decoder((3, 8, 8), "crop", (0, 0, 0)), stride=1, max_frames=10)
    assert read.tolist() == [np.asarray(image).transpose(2, 0, 1).tolist() for image in images]


def test_a_gif_that_ends_within_a_frame_is_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = (folder / "0.gif").read_bytes()
    (folder / "0.gif").write_bytes(whole[: whole.rindex(b",") + 11])  # within the last image
    assert levels(load(folder)).min() == 10
    assert "1 of 10 clips" in caplog.text


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("loop", [[200, 201, 202, 200], [201, 202, 200, 201], [202, 200, 201, 202]]),
        ("hold", [[200, 201, 202, 202]]),
        ("skip", []),
    ],
)
def test_a_short_clip_is_looped_held_or_skipped(folder: Path, short: str, expected: list[list[int]]) -> None:
    """Only short clips change; a loop has a window from each of its frames."""
    write_gif(folder / "short.gif", frames(200, 3))
    found = levels(load(folder, short=short))
    assert found[found[:, 0] >= 200].tolist() == expected
    assert torch.equal(found[found[:, 0] < 200], levels(load(folder, short="skip")))


def test_a_clip_of_one_frame_is_no_clip(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_gif(folder / "still.gif", frames(200, 1))
    assert levels(load(folder)).max() < 100
    assert "still.gif: ValueError (1 frame, fewer than 2)" in caplog.text


def test_an_unknown_way_with_short_clips_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError) as mistake:
        load(folder, short="pad")
    assert mistake.value.key == "data.short"


def test_decompression_bombs_are_listed_and_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "bomb.gif").write_bytes(gif_of(6, side=9000))
    (folder / "grows.gif").write_bytes(gif_of(6, grows_to=9000))
    (folder / "10").mkdir()
    for number in range(6):
        (folder / "10" / f"{number}.png").write_bytes(png_bomb(9000))
    assert levels(load(folder)).max() < 100
    assert "3 of 13 clips" in caplog.text
    for name in ("bomb.gif", "grows.gif", "10"):
        assert f"{name}: TooLargeError" in caplog.text


def test_a_clip_of_any_length_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "long.gif").write_bytes(gif_of(1001))
    clip, decoder = ClipListing(str(tmp_path / "long.gif"), "animation"), Decoder(SHAPE, "crop", (0, 0, 0))
    assert len(read_clip(clip, decoder, stride=1, max_frames=1001, max_read=1001)) == 1001
    with pytest.raises(ValueError, match="more than 1,000 frames"):
        read_clip(clip, decoder, stride=100, max_frames=1001, max_read=1000)


def test_a_clip_larger_than_memory_is_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "long.gif").write_bytes(gif_of(10_000))
    load(folder, in_memory_bytes=100 * 64)
    assert "long.gif: ValueError (more than 100 frames)" in caplog.text


def test_links_out_of_the_folder_are_skipped_with_a_warning_unless_followed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_gif(tmp_path / "outside.gif", frames(200, 6))
    (folder / "link.gif").symlink_to(tmp_path / "outside.gif")
    assert levels(load(folder)).max() < 100
    assert "link.gif" in caplog.text and "data.follow_links=true" in caplog.text
    assert levels(load(folder, follow_links=True)).max() == 205
    (tmp_path / "alias").symlink_to(folder)  # given by the user
    assert len(load(tmp_path / "alias")) == len(load(folder))


def test_too_few_clips_are_an_error(tmp_path: Path) -> None:
    for clip in range(5):
        write_gif(tmp_path / f"{clip}.gif", frames(0, 3 if clip > 1 else 8))
    with pytest.raises(UserError, match="at least 3"):
        load(tmp_path, short="skip")


def test_clips_that_do_not_fit_into_memory_are_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match="frame_stride"):
        load(folder, in_memory_bytes=59 * 64)


def test_a_clip_is_in_one_split(folder: Path) -> None:
    data = GenerativeData(
        FrameFolder(str(folder), num_frames=4),
        name="f",
        kind="sequences",
        image_size=8,
        channels=1,
        batch_size=4,
        val_fraction=0.2,
        test_fraction=0.2,
        num_frames=4,
    )
    data.setup("fit")
    clips = [
        {int(level) // 10 for batch in loader for level in batch["images"][:, 0, 0, 0, 0]}
        for loader in (
            [batch for batch, _ in zip(data.train_dataloader(), range(50), strict=False)],
            data.val_dataloader(),
            data.test_dataloader(),
        )
    ]
    assert [len(of_split) for of_split in clips] == [6, 2, 2]
    assert set.union(*clips) == set(range(10))
    assert (data.num_frames, data.image_shape, data.classes) == (4, SHAPE, ())
    assert "labels" not in next(iter(data.train_dataloader()))


def test_a_window_belongs_to_one_clip() -> None:
    clips = [torch.full((length, *SHAPE), number, dtype=torch.uint8) for number, length in enumerate((4, 9, 5))]
    windows = join_clips(clips, 4, [0, 1, 2])
    found = levels(windows)
    assert torch.equal(found.amin(1), found.amax(1))
    assert torch.equal(found[:, 0], windows.groups)
    assert len(windows) == 1 + 6 + 2


def test_without_the_video_reader_the_message_names_the_extra_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "clip.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"genimg-train\[video\]"):
        load(folder)


def test_videos_are_read_if_the_reader_is_installed(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for clip in range(3):
        with av.open(str(tmp_path / f"{clip}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for image in frames(40 * clip + 20, 6):
                frame = av.VideoFrame.from_image(image.resize((64, 64)).convert("RGB"))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    found = levels(load(tmp_path, num_frames=6))
    expected = torch.tensor([[40 * clip + 20 + frame for frame in range(6)] for clip in range(3)])
    assert (found - expected).abs().max() <= 4


def test_a_damaged_video_is_skipped_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("av")
    (folder / "clip.mp4").write_bytes(b"no video")
    with caplog.at_level(logging.WARNING):
        assert len(load(folder)) == 30
    assert "clip.mp4" in caplog.text


def test_a_flat_folder_of_frames_is_explained(tmp_path: Path) -> None:
    for number, image in enumerate(frames(0, 6)):
        image.save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=r"(?s)1 clip of 2 frames.*a folder of frames is one clip"):
        load(tmp_path)


def test_small_frames_on_a_large_canvas_are_refused_before_they_are_decoded(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "slow.gif").write_bytes(gif_of(1000, side=8192))
    with caplog.at_level(logging.WARNING):
        assert len(load(folder)) == 30  # decoding it would take an hour
    assert "slow.gif: ValueError (67,108,864,000 pixels in all frames" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "avi", "webm"])
def test_a_script_that_names_another_video_is_no_video(
    folder: Path, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("av")
    write_gif(tmp_path / "outside.gif", frames(200, 6))
    for number, name in enumerate(("../outside.gif", str(tmp_path / "outside.gif"))):
        (folder / f"script{number}.{suffix}").write_text(f"ffconcat version 1.0\nfile '{name}'\n")
    with caplog.at_level(logging.WARNING):
        assert levels(load(folder)).max() < 200
    assert "the content is not MP4" in caplog.text


def sheet(path: Path, rows: list[list[int]], columns: int = 4, mode: str = "LA") -> None:
    """A sheet of cells of 8 x 8 pixels with the given levels; the others are transparent."""
    image = Image.new(mode, (8 * columns, 8 * len(rows)))
    for row, cells in enumerate(rows):
        for column, level in enumerate(cells):
            image.paste((level, 255) if mode == "LA" else level, (8 * column, 8 * row, 8 * column + 8, 8 * row + 8))
    image.save(path)


@pytest.mark.parametrize(
    ("sheet_clips", "expected"),
    [("rows", [[1, 2, 3], [2, 3, 4], [5, 6, 7]]), ("all", [[n, n + 1, n + 2] for n in range(1, 6)])],
)
def test_a_row_of_a_sheet_is_a_clip_or_the_whole_sheet_is_one(
    sheet_clips: str, expected: list[list[int]], tmp_path: Path
) -> None:
    """Cells that fill up a row, and rows that fill up a sheet, are no frames."""
    for number in range(4):
        sheet(
            tmp_path / f"{number}.png",
            [[50 * number + level for level in row] for row in ([1, 2, 3, 4], [5, 6, 7], [])],
        )
    found = levels(load(tmp_path, num_frames=3, sheet=[4, 3], sheet_clips=sheet_clips))
    assert found.tolist() == [[50 * number + level for level in clip] for number in range(4) for clip in expected]


@pytest.mark.parametrize(("files", "groups"), [(9, 18), (10, 10)])
def test_rows_of_one_sheet_belong_to_one_split_if_there_are_enough_sheets(
    files: int, groups: int, tmp_path: Path
) -> None:
    for number in range(files):
        sheet(tmp_path / f"{number:02}.png", [[1, 2, 3, 4], [5, 6, 7, 8]])
    found = load(tmp_path, sheet=[4, 2])
    assert len(found.groups.unique()) == groups


def test_a_sheet_that_does_not_divide_is_listed_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        sheet(tmp_path / f"{number}.png", [[1, 2, 3, 4]])
    Image.new("L", (30, 8)).save(tmp_path / "odd.png")
    assert len(load(tmp_path, sheet=[4, 1])) == 3
    assert "odd.png: ValueError (30 x 8 pixels do not divide into 4 columns and 1 rows)" in caplog.text


def test_animated_pngs_are_clips_without_their_image_for_other_viewers(tmp_path: Path) -> None:
    for number in range(3):
        images = frames(10 * number, 5)
        images[0].save(tmp_path / f"{number}.png", save_all=True, append_images=images[1:], default_image=number == 2)
    (tmp_path / "still").mkdir()
    frames(200, 1)[0].save(tmp_path / "still" / "0.png")
    assert [clip.kind for clip in list_clips(tmp_path)[0]] == ["animation"] * 3 + ["frames"]
    assert levels(load(tmp_path, num_frames=4)).tolist() == [
        [0, 1, 2, 3], [1, 2, 3, 4], [10, 11, 12, 13], [11, 12, 13, 14], [21, 22, 23, 24],
    ]  # fmt: skip


def test_a_grid_without_sheets_is_an_error(folder: Path) -> None:
    for number in range(7, 10):
        shutil.rmtree(folder / str(number))
    with pytest.raises(UserError) as mistake:
        load(folder, sheet=[2, 2])
    assert mistake.value.key == "data.sheet"
