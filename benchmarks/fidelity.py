"""How near a run's pictures are to held-out ones, by the features of a classifier trained on the data's own labels.

    python benchmarks/fidelity.py RUN [RUN ...]        # run folders of still pictures with labels, on one data set

Prints, for each run and for training pictures (the floor: real against real), the Frechet and the kernel distance to
test pictures, precision, recall, density, coverage, and how often a sample lies nearer to the training set than a
test picture does. The classifier is trained anew, from a fixed seed: its distance is no FID, and compares only with
those of the same call.
"""

import argparse
import time
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.build import build
from genimg.checkpoints import load_checkpoint
from genimg.metrics.frechet import frechet_distance
from genimg.metrics.kernel import kernel_distance
from genimg.metrics.neighbours import copying, manifold
from genimg.sampling import checkpoint_file, from_checkpoint

COMPARED = 5000  # pictures of each set, at most
SEED = 0
BATCH = 128
EPOCHS = 6  # of the classifier's training, at least
STEPS = 2000  # of it, at least


class Classifier(nn.Module):
    """A small convolutional network; its features are the 64 values before the logits."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(512, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> logits (B, num_classes)."""
        return self.head(self.body(images))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> (N, 64)."""
        return torch.cat([self.body(part.float() / 127.5 - 1) for part in images.split(500)])


def train_classifier(images: Tensor, labels: Tensor, num_classes: int) -> Classifier:
    """On uint8 (N, C, H, W) and int64 (N,)."""
    torch.manual_seed(SEED)
    model = Classifier(images.shape[1], num_classes).to(memory_format=torch.channels_last)  # pyright: ignore
    size = min(BATCH, len(images))
    batches = len(images) // size
    epochs = max(EPOCHS, -(-STEPS // batches))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * batches)
    for _ in range(epochs):
        for index in torch.randperm(len(images))[: batches * size].split(size):
            logits = model(images[index].float() / 127.5 - 1)
            loss = F.cross_entropy(logits, labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def whole(batches: Iterable[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Every image, uint8, and every label of a split."""
    parts = [(batch["images"], batch["labels"]) for batch in batches]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def samples(checkpoint: dict[str, Any], count: int) -> Tensor:
    """uint8, rounded as image files are."""
    images = from_checkpoint(checkpoint).sample(count, seed=SEED)
    return ((images + 1) * 127.5).round().to(torch.uint8)


def shuffled(features: Tensor) -> Tensor:
    """In an order of its own: a data set may lie class after class."""
    return features[torch.randperm(len(features), generator=torch.Generator().manual_seed(SEED))]


def row(fake: Tensor, test: Tensor, train: Tensor) -> str:
    """The figures of features (N, D)."""
    kernel = kernel_distance(test, fake, generator=torch.Generator().manual_seed(SEED))
    found = manifold(test, fake)
    figures = [frechet_distance(test, fake), kernel.mean, *found, copying(fake, test, train)]
    return "  ".join(f"{figure:9.3f}" for figure in figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders or checkpoint files")
    runs = {run: load_checkpoint(checkpoint_file(run)) for run in parser.parse_args().runs}
    data_sets = {str(checkpoint["data"]["fingerprint"]) for checkpoint in runs.values()}
    if len(data_sets) > 1:
        parser.error("the runs were trained on different data")
    data = build(next(iter(runs.values()))["config"]["data"])
    data.setup("test")
    if not data.classes or data.kind != "images":
        parser.error("the classifier needs still pictures with labels")
    train, labels = whole(data.train_in_order())
    test, test_labels = whole(data.test_dataloader())
    started = time.monotonic()
    classifier = train_classifier(train, labels, len(data.classes))
    with torch.no_grad():
        right = classifier.head(classifier.features(test)).argmax(1) == test_labels
    print(f"classifier: {right.double().mean():.2%} of {len(test):,} test pictures; {time.monotonic() - started:.0f} s")
    count = min(COMPARED, len(test), len(train) // 2)  # half, for the floor holds some against the rest
    near, others = shuffled(classifier.features(train)), shuffled(classifier.features(test))[:count]
    names = ("frechet", "kernel", "precision", "recall", "density", "coverage", "copying")
    print(f"{count:,} pictures each, 64 features, k = 5\n" + "  ".join(f"{name:>9}" for name in names))
    print(row(near[:count], others, near[count:]), " floor: training pictures")
    for run, checkpoint in runs.items():
        print(row(classifier.features(samples(checkpoint, count)), others, near), f" {run}", flush=True)


if __name__ == "__main__":
    main()
