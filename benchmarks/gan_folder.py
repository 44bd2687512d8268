"""Compares GANs on a folder of colour images with a folder per class, by two kinds of features.

    python benchmarks/gan_folder.py FOLDER                                      # trains for 10 minutes, three seeds
    python benchmarks/gan_folder.py FOLDER --budget budget.images=235000 trainer.threads=1
    python benchmarks/gan_folder.py FOLDER --runs RUN RUN --samples PNGS        # measures what exists

Samples of the best checkpoint, whose classes are as frequent as in the folder, are compared with all images of it.
EfficientNet-Lite0 weighs texture and quality; a classifier of the folder's own classes weighs what is shown. The floor
is the value of one half of the images, compared with the other half; for the classifier, which is trained on the first
half, all rows are compared with the second. The features of one call are comparable, and not with those of another
folder or of `genimg evaluate`. `--samples` takes a folder of PNGs that any other program has drawn.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from runs import train
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.data.image_folder import ImageFolder
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.pretrained import efficientnet_lite0
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.metrics.precision_recall import prdc
from genimg.evaluation.sample_quality import NEIGHBOURS
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import from_checkpoint

CPU = torch.device("cpu")
COLUMNS = ("frechet", "precision", "recall", "density", "coverage")


def read(root: Path, size: int) -> tuple[Tensor, Tensor | None]:
    """The images of a folder, uint8 (N, 3, size, size), and their classes, int64 (N,), if it has a folder for each."""
    source = ImageFolder(root=str(root), fit="crop", background="white", cache=False, follow_links=False)
    items = source.load("train", (3, size, size))
    return items.fetch(torch.arange(len(items)), 0), items.labels


def samples(run: Path, labels: Tensor) -> Tensor:
    """Samples of the best checkpoint of a run, one of each label: uint8 (N, C, H, W)."""
    sampler = from_checkpoint(load_checkpoint(RunFolder(run).best), "cpu", ())
    parts = sampler.stream(len(labels), seed=1, classes=labels.tolist() if sampler.classes else None)
    return torch.cat([to_uint8(part) for part in parts])


def row(name: str, real: Tensor, fake: Tensor) -> str:
    """The figures of one set of features beside the real ones, as cells of a table."""
    found = prdc(real, fake, NEIGHBOURS)
    values = [frechet_distance(real, fake), *(getattr(found, column) for column in COLUMNS[1:])]
    return f"| {name} | " + " | ".join(f"{value:,.4g}" if value >= 1 else f"{value:.3f}" for value in values) + " |"


def table(extractor: Extractor, real: Tensor, floor: Tensor, sets: dict[str, Tensor]) -> None:
    """Prints the figures of each set of images beside the real ones."""
    print(f"\nby {extractor.name}\n\n| run | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    features = extractor(real, CPU)
    print(row("floor", features, extractor(floor, CPU)))
    for name, images in sets.items():
        print(row(f"`{name}`", features, extractor(images, CPU)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder with a folder of images per class")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--budget", nargs="+", default=["budget.minutes=10"], help="overrides of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-images", type=int, default=2000, help="samples of each run")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="measure these instead of training")
    parser.add_argument("--samples", type=Path, nargs="+", default=[], help="folders of PNGs to measure too")
    arguments = parser.parse_args()
    images, labels = read(arguments.root, arguments.image_size)
    if labels is None:
        sys.exit(f"{arguments.root} needs a folder per class")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    first, second = order.chunk(2)
    chosen = labels.sort().values[evenly_spaced_indices(len(labels), arguments.num_images)]
    with tempfile.TemporaryDirectory(prefix="genimg-") as name:
        runs = arguments.runs
        if not runs and not arguments.samples:
            data = ["data=image_folder", f"data.root={arguments.root}", f"data.image_size={arguments.image_size}"]
            words = [*data, "model.conditional=true", *arguments.budget]
            runs = [train([*words, f"seed={seed}"], Path(name) / f"seed{seed}") for seed in range(arguments.seeds)]
        sets = {str(run): samples(run, chosen) for run in runs}
    for folder in arguments.samples:
        sets[str(folder)] = read(folder, arguments.image_size)[0]
    semantic = classifier(
        (images[first], labels[first]), (images[second], labels[second]), int(labels.max()) + 1, None, CPU
    )
    table(efficientnet_lite0(), images, images[first], sets)
    print(f"\nthe classifier names {semantic.facts['accuracy']:.1%} of the second half")
    table(semantic, images[second], images[first], sets)


if __name__ == "__main__":
    main()
