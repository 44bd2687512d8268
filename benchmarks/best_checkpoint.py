"""Agreement of `frechet_random`, which chooses the best checkpoint, with the evaluation by a trained classifier.

    genimg-train experiment=fashion_gan checkpoint.every_images=32000 &     # copy checkpoints/last.pt when it changes
    python benchmarks/best_checkpoint.py COPIES/*.pt                        # unconditional, still images

Prints both values for each checkpoint, their rank correlation over all checkpoints and over the later half, and how
much worse the chosen checkpoint is than the best one.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

from genimg.checkpoints.read import load_checkpoint
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.subject import load_data, read_images
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import from_checkpoint

CPU = torch.device("cpu")


def rank_correlation(rows: list[tuple[float, float]]) -> float:
    """Spearman's, of the two values of each row."""
    chosen, measured = zip(*rows, strict=True)
    result: Any = spearmanr(chosen, measured)  # its type lacks the names of the fields
    return float(result.statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--num-images", type=int, default=2000, help="callbacks.frechet_random.num_images")
    arguments = parser.parse_args()
    data = load_data(load_checkpoint(arguments.checkpoints[0]), None, ())
    images = read_images(data)
    assert images.train_labels is not None and images.test_labels is not None, "the data need labels"
    train, test = (images.train, images.train_labels), (images.test, images.test_labels)
    trained = classifier(train, test, len(data.classes), None, CPU)
    cheap = Extractor("random", RandomFeatures(images.train.shape[1]), "")
    few = cheap(images.train[evenly_spaced_indices(len(images.train), arguments.num_images)], CPU)
    many = trained(images.test[:5000], CPU)
    print(f"classifier: {trained.facts['accuracy']:.2%}\n{'images':>9}   random  frechet")
    rows = []
    for file in arguments.checkpoints:
        checkpoint = load_checkpoint(file)
        made = [to_uint8(part) for part in from_checkpoint(checkpoint, "cpu", ()).stream(len(many), seed=1)]
        fake = torch.cat(made)
        value = frechet_distance(few, cheap(fake[: len(few)], CPU)) / float(few.var(dim=0).sum())
        rows.append((value, frechet_distance(many, trained(fake, CPU))))
        print(f"{checkpoint['images_seen']:>9,}  {rows[-1][0]:.4f}   {rows[-1][1]:.3f}", flush=True)
    late = rows[len(rows) // 2 :]
    overall, later = (rank_correlation(part) for part in (rows, late))
    print(f"rank correlation {overall:.2f}, of the later half {later:.2f}")
    print(f"chosen {min(rows)[1]:.3f}, best {min(frechet for _, frechet in rows):.3f}, last {rows[-1][1]:.3f}")


if __name__ == "__main__":
    main()
