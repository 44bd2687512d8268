"""Measures how well an RNN with actions follows them, on test clips.

    genimg crafter out=FOLDER num_clips=600
    genimg-train model=rnn data=frame_folder data.root=FOLDER data.image_size=32
    python benchmarks/rnn_actions.py RUN RUN

`error` is the squared error of the mean of four futures, summed over a frame of pixels in [0, 1] and averaged over
frames: given the actions of the clip, those of another test clip, and random ones; `still` repeats the start. The first
three are equal for a model that ignores actions.

The table of each run is of single steps from real frames, without noise: for the true action of a row, how often the
frame drawn with the action of a column is the closest of all to the real next frame. Only steps that change the picture
count. Guessing is right in one of as many cases as there are `--actions`.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.evaluation.subject import load_data, read_split
from genimg.models.bound import frame_error
from genimg.sampling.images.sheets import to_float
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler

CLIPS = 200  # test clips at most
FUTURES = 4
CHANGED = 0.02  # mean change of a pixel in [-1, 1] from which a step counts
MOVES = ["move_left", "move_right", "move_up", "move_down"]  # of Crafter


def error(sampler: Sampler, clips: Tensor, actions: Tensor | None) -> float:
    """The error of the mean future of clips (N, T, C, H, W) from their first frames."""
    length = clips.shape[1]
    drawn = sampler.sample(len(clips), start=clips[:, 0], num_frames=length, futures=FUTURES, actions=actions)
    mean = drawn.unflatten(0, (-1, FUTURES)).mean(1)
    return float(frame_error(mean[:, 1:], clips[:, 1:]).mean())


def explained(sampler: Sampler, clips: Tensor, actions: Tensor, names: list[str]) -> Tensor:
    """Counts (K, K): steps of each true action, by the action whose frame is the closest to the real one."""
    numbers = torch.tensor([sampler.actions.index(name) for name in names])
    before, after, taken = clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1), actions.flatten()
    chosen = ((before - after).abs().mean((1, 2, 3)) > CHANGED) & torch.isin(taken, numbers)
    before, after, taken = before[chosen], after[chosen], taken[chosen]
    drawn = [sampler.sample(len(before), start=before, actions=[name], temperature=0.0)[:, 1] for name in names]
    closest = torch.stack([(frame - after).square().sum((1, 2, 3)) for frame in drawn]).argmin(0)
    table = torch.zeros(len(names), len(names), dtype=torch.int64)
    for row, number in enumerate(numbers):
        table[row] = closest[taken == number].bincount(minlength=len(names))
    return table


def report(run: Path, names: list[str]) -> None:
    checkpoint = load_checkpoint(RunFolder(run).best)
    sampler = from_checkpoint(checkpoint, "cpu", ())
    test = read_split(load_data(checkpoint, None, ()), "test", CLIPS)
    clips, actions = to_float(test["images"]), test["actions"]
    still = float(frame_error(clips[:, :1], clips[:, 1:]).mean())
    other = actions.roll(len(actions) // 2, 0)
    errors = [error(sampler, clips, given) for given in (actions, other, None)]
    print(f"\n{run}: {checkpoint['images_seen']:,} clips seen, {len(clips)} test clips")
    print("error: true {:.2f}, of another clip {:.2f}, random {:.2f}; still {:.2f}".format(*errors, still))
    table = explained(sampler, clips, actions, names)
    print(f"| | {' | '.join(names)} |\n{'|---' * (len(names) + 1)}|")
    for name, row in zip(names, table.tolist(), strict=True):
        print(f"| {name} | {' | '.join(map(str, row))} |")
    print(f"{table.diag().sum() / table.sum():.1%} of {table.sum()} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--actions", nargs="+", default=MOVES, help="names of the compared actions")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for run in arguments.runs:
        report(run, arguments.actions)


if __name__ == "__main__":
    main()
