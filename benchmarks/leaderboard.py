"""Compares models on the same data with the same training time, over several seeds.

    python benchmarks/leaderboard.py                                          # GAN and VAE on digits, a minute each
    python benchmarks/leaderboard.py --data fashion_mnist --minutes 3 --seeds 3
    python benchmarks/leaderboard.py --models "gan" "gan model.objective=hinge" "vae model.beta=0.5"
    python benchmarks/leaderboard.py --models rnn "rnn model.latent_dim=2" --data moving_digits

Each run is trained with the command on an idle machine, and `genimg evaluate` evaluates its best checkpoint. The output
is a table for docs/results.md of means with 95 % intervals of Student's t over the seeds. RNNs need a separate table:
their images continue a real one, so their distance to real images is not comparable with that of a GAN or a VAE,
which sample from noise.
"""

import argparse
import json
import tempfile
from pathlib import Path

from runs import genimg

from genimg.sweeps.results import mean_interval

IMAGES = (
    "frechet distance",
    "kernel distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "copying",
    "images seen",
)
CLIPS = ("frechet distance", "mse, mean", "mse, best", "ssim, mean", "ssim, best", "diversity", "clips seen")
Row = dict[str, float]


def train_and_evaluate(model: str, data: str, minutes: float, seed: int, outputs: Path) -> tuple[Row, Row]:
    """The metrics of a run, and their floors."""
    genimg(f"model={model.split()[0]}", *model.split()[1:], f"data={data}", f"budget.minutes={minutes}", f"seed={seed}",
           f"outputs={outputs}")  # fmt: skip
    genimg("evaluate", "run=last", f"outputs={outputs}")
    written = max(outputs.glob("*/*/evaluation.json"), key=lambda path: path.stat().st_mtime)
    figures = {figure["name"]: figure for figure in json.loads(written.read_text())["figures"]}
    names = CLIPS if "clips seen" in figures else IMAGES
    return tuple({name: figures[name][part] for name in names} for part in ("value", "floor"))  # pyright: ignore


def interval(values: list[float]) -> str:
    """Mean and half-width of its 95 % interval."""
    mean, half = mean_interval(values)
    if mean is None or half is None:
        return "" if mean is None else f"{mean:,.4g}"
    return f"{mean:,.0f} ± {half:,.0f}" if mean >= 1000 else f"{mean:.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["gan", "vae"], help="model names, each with optional overrides")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        for index, model in enumerate(arguments.models):
            runs = [
                train_and_evaluate(model, arguments.data, arguments.minutes, seed, Path(folder))
                for seed in range(arguments.seeds)
            ]
            floors = runs[0][1]
            if index == 0:
                print("| " + " | ".join(("model", *floors)) + " |\n|" + "---|" * (len(floors) + 1))
            cells = [interval([row[name] for row, _ in runs]) for name in floors]
            print("| " + " | ".join((f"`{model}`", *cells)) + " |", flush=True)
    baseline = (
        "real clips; of mse and ssim, the first frame repeated, or the best of 4 training clips"
        if "clips seen" in floors
        else "training images"
    )
    print(f"| floor: {baseline} | " + " | ".join("" if v is None else f"{v:.3f}" for v in floors.values()) + " |")


if __name__ == "__main__":
    main()
