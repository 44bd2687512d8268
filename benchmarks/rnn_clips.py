"""Compares sequence models on clips: what they predict from the given frames, by several measures at every horizon.

    python benchmarks/rnn_clips.py "model=rnn data=moving_fashion_mnist data.image_size=64"       # one frame to 16
    python benchmarks/rnn_clips.py "model=rnn data=frame_folder data.root=FOLDER"
    python benchmarks/rnn_clips.py "model=convlstm TEN" "model=rnn TEN"                           # 10 frames to 10
    python benchmarks/rnn_clips.py --runs RUN RUN                                                 # measures what exists

with TEN = data=moving_digits data.image_size=64 data.num_frames=20 data.given_frames=10 data.stills=2
data.still_scale=0.4375 data.speed=[0.056,0.056], as in Moving MNIST (Srivastava et al. 2015).

Of each run, `--futures` clips are drawn for each of 200 test clips. Squared errors are summed over a frame of pixels in
[0, 1] and averaged over frames, as in OpenSTL. `mse` is that of the mean of the futures, the best guess of a model with
latents; `best` are those of the best future, beside the best of as many training clips, a guess that knows
nothing; `still` repeats the last given frame. A horizon at which a model is not better than `still` is named. The rows
of one call are comparable.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from runs import train
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.pretrained import efficientnet_lite0
from genimg.evaluation.figure import Figure
from genimg.evaluation.metrics.similarity import COSINE
from genimg.evaluation.sequences import future_figures, motion_figures
from genimg.evaluation.subject import load_data, read_split
from genimg.sampling.images.sheets import to_float, to_uint8
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler

CPU = torch.device("cpu")
CLIPS = 200  # test clips at most
COLUMNS = (
    "mse", "still", "best mse", "best guess", "best ssim", "still", "content", "still", "diversity", "of clips",
    "speed", "its distribution", "unevenness", "its distribution", "turns", "turns inside", "clips seen",
    "not better than still",
)  # fmt: skip


def drawn(sampler: Sampler, test: dict[str, Tensor], futures: int) -> Tensor:
    """Futures of clips (N, T, C, H, W) from the last given frame on: uint8 (N, futures, T - k + 1, C, H, W).

    test: images, labels and actions, as `read_split` returns them.
    """
    given, clips = sampler.model.given_frames, test["images"]
    parts = sampler.stream(
        len(clips),
        start=to_float(clips[:, :given]),
        seed=0,
        classes=test["labels"].tolist() if "labels" in test and sampler.classes else None,
        futures=futures,
        num_frames=clips.shape[1],
        actions=test["actions"][:, given - 1 :] if sampler.actions else None,
    )
    return torch.cat([to_uint8(part).unflatten(0, (-1, futures)) for part in parts])[:, :, given - 1 :]


def row(run: Path, futures: int, extractor: Extractor) -> list[str]:
    """The cells of a run."""
    checkpoint = load_checkpoint(RunFolder(run).best)
    sampler = from_checkpoint(checkpoint, "cpu", ())
    data = load_data(checkpoint, None, ())
    test, others = read_split(data, "test", CLIPS), read_split(data, "train", CLIPS)["images"]
    clips = test["images"]
    last = sampler.model.given_frames - 1
    made = drawn(sampler, test, futures)
    real, others = clips[:, last:], others[evenly_spaced_indices(len(others), min(len(others), len(clips))), last:]
    mean = torch.stack([one.float().mean(0) for one in made])
    error = ((mean[:, 1:] - real[:, 1:].float()) / 255).square().sum((2, 3, 4)).mean()

    def batches() -> Iterator[Tensor]:
        yield from made.split(50)

    found = {f.name: f for f in future_figures(real, others, batches(), futures, extractor, CPU, None)}
    moved = motion_figures(real, others, made[:, 0])
    summed, ssim, content = found["mse summed, best"], found["ssim, best"], found[f"{COSINE}, mean"]
    still = {name: found[f"{name}, mean"].floor for name in ("mse summed", "ssim", COSINE)}
    worse = {
        "ssim": [a <= b for a, b in zip(ssim.by_horizon, found["ssim, mean"].floor_by_horizon, strict=True)],
        "content": [a >= b for a, b in zip(content.by_horizon, content.floor_by_horizon, strict=True)],
    }
    named = [
        f"{name} {', '.join(str(t + 1) for t, is_worse in enumerate(w) if is_worse)}"
        for name, w in worse.items()
        if any(w)
    ]
    values = [float(error), still["mse summed"], summed.value, summed.floor, ssim.value, still["ssim"], content.value,
              still[COSINE], found["diversity"].value, found["diversity"].floor]  # fmt: skip
    return [*map(number, values), *map(beside, moved), f"{checkpoint['images_seen']:,}", "; ".join(named)]


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def beside(figure: Figure) -> str:
    """A value with that of real clips in parentheses."""
    return f"{number(figure.value)} ({number(figure.floor)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="overrides of each run, in one argument")
    parser.add_argument("--budget", nargs="+", default=["budget.minutes=10"], help="overrides of all runs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--futures", type=int, default=10)
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="measure these too")
    arguments = parser.parse_args()
    extractor = efficientnet_lite0()
    print("| run | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        for number_of, words in enumerate(arguments.models):
            for seed in range(arguments.seeds):
                outputs = Path(folder) / f"{number_of}-{seed}"
                run = train([*words.split(), *arguments.budget, f"seed={seed}"], outputs)
                print(f"| `{words}` | " + " | ".join(row(run, arguments.futures, extractor)) + " |", flush=True)
        for run in arguments.runs:
            print(f"| `{run}` | " + " | ".join(row(run, arguments.futures, extractor)) + " |", flush=True)


if __name__ == "__main__":
    main()
