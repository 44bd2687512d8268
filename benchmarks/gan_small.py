"""A GAN on the first 1,000 garments of Fashion-MNIST, with and without augmentation of the discriminator's inputs.

    python benchmarks/gan_small.py                                  # 5 minutes each, one thread
    python benchmarks/gan_small.py --budget budget.images=128000    # on a machine whose speed varies
    python benchmarks/gan_small.py --runs RUN RUN                   # evaluates trained runs

Each run is trained with the command on 950 of the images; 50 are for validation. Samples of its best checkpoint are
compared with as many test images, on the features of a classifier that is trained on other training images. As many
again are the floor: the values of images that no run has seen. `copying` is measured against the 950 images.
"""

import argparse
import gzip
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from runs import train

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.data.idx import CLASSES, FashionMNIST
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.figure import Figure
from genimg.evaluation.sample_quality import reference, sample_quality
from genimg.evaluation.subject import load_data, read_split
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import from_checkpoint

AUGMENTATIONS = ("[]", "[translation]", "ada")
CPU = torch.device("cpu")
SMALL = 1000  # images that the runs may use


def small_copy(folder: Path) -> None:
    """Writes Fashion-MNIST with only the first 1,000 training images to a folder."""
    system = Path(FashionMNIST().system_folder)
    for file in system.glob("*-ubyte.gz"):
        if not file.name.startswith("train"):
            shutil.copy(file, folder)
            continue
        content = gzip.decompress(file.read_bytes())
        header = 4 + 4 * content[3]  # the type and the number of axes, then the length of each
        size = (len(content) - header) // struct.unpack(">I", content[4:8])[0]
        small = content[:4] + struct.pack(">I", SMALL) + content[8 : header + SMALL * size]
        (folder / file.name).write_bytes(gzip.compress(small))


def evaluate(runs: list[Path], count: int, epochs: int) -> Iterator[tuple[list[Figure], int]]:
    """Yields the figures of `count` samples of each run, and the training images that it saw.

    epochs: of the training of the classifier.
    """
    source = FashionMNIST()
    train, test = (source.load(part, (1, 28, 28)) for part in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    fitted = train.images[SMALL:-count], train.labels[SMALL:-count]
    extractor = classifier(fitted, (test.images, test.labels), len(CLASSES), None, CPU, min_epochs=epochs)
    data = load_data(load_checkpoint(RunFolder(runs[0]).best), None, ())
    parts = (test.images[:count], train.images[-count:], read_split(data, "train", SMALL)["images"])
    real = reference(*(extractor(images, CPU) for images in parts))
    for run in runs:
        sampler = from_checkpoint(load_checkpoint(RunFolder(run).best), "cpu", ())
        fake = torch.cat([to_uint8(part) for part in sampler.stream(count, seed=1)])
        seen = load_checkpoint(RunFolder(run).last)["images_seen"]
        yield sample_quality(real, extractor(fake, CPU), extractor, None), seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--augmentations", nargs="+", default=AUGMENTATIONS, help="values of model.augmentation")
    parser.add_argument("--budget", nargs="+", default=["budget.minutes=5"], help="overrides of each run")
    parser.add_argument("--num-images", type=int, default=5000, help="samples, and test images")
    parser.add_argument("--epochs", type=int, default=5, help="of the training of the classifier")
    parser.add_argument("--runs", type=Path, nargs="+", help="evaluate these instead of training")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genimg-") as name:
        folder = Path(name)
        if not arguments.runs:
            small_copy(folder)
        names = [str(run) for run in arguments.runs or arguments.augmentations]
        words = ["data=fashion_mnist", f"data.root={folder}", "trainer.threads=1", *arguments.budget]
        runs = arguments.runs or [
            train([*words, f"model.augmentation={one}"], folder / str(index)) for index, one in enumerate(names)
        ]
        evaluated = evaluate(runs, arguments.num_images, arguments.epochs)
        for index, (label, (figures, seen)) in enumerate(zip(names, evaluated, strict=True)):
            chosen = [figure for figure in figures if figure.group == "sample quality"]
            if index == 0:
                print("| run | " + " | ".join(figure.name for figure in chosen) + " | images seen |")
                print("|---" * (len(chosen) + 2) + "|")
                print("| floor | " + " | ".join(f"{figure.floor:.3f}" for figure in chosen) + " | |")
            values = " | ".join(f"{figure.value:.3f}" for figure in chosen)
            print(f"| `{label}` | {values} | {seen:,} |", flush=True)


if __name__ == "__main__":
    main()
