"""The features of a small classifier that is trained on the labels of the data set.

Its features are semantic: a missing class changes the metrics strongly, slight blur does not. Its Frechet distance is
not FID, and is comparable only between evaluations with the same extractor digest.
"""

import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.evaluation.cache import read_cache, write_cache
from genimg.evaluation.features.extractor import Extractor

log = logging.getLogger(__name__)

FEATURES = 64
_VERSION = 2  # increase it if the network or its training changes: cached classifiers are then trained again
_SEED = 0
_BATCH = 128
_LR = 4e-3
_LONG = 10  # seconds of remaining training that are worth a log line


class Classifier(nn.Module):
    """Three convolutions and a fully connected layer, with batch normalisation.

    Args:
        channels: of the images.
        num_classes: logits of `head`.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(512, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> features (B, 64)."""
        images = images.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return self.body(images.float() / 127.5 - 1)


def classifier(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    num_classes: int,
    cache_file: Path | None,
    device: torch.device,
    *,
    min_epochs: int = 5,
    min_steps: int = 300,
) -> Extractor:
    """Returns the classifier, from its cache file if it exists, or trained and cached.

    The extractor's facts are `accuracy`, on the test images, `classes`, and `trained on`, the number of images.

    Args:
        train, test: uint8 images (N, C, H, W) and their labels, int64 (N,).
        cache_file: named after the data; None caches nothing.
        min_epochs, min_steps: the training ends when it has reached both.
    """
    cached = read_cache(cache_file)
    cached = cached if cached and cached.get("version") == _VERSION else None
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # leaves the global generators unchanged
        torch.manual_seed(_SEED)
        network = Classifier(train[0].shape[1], num_classes).to(device, memory_format=torch.channels_last)  # pyright: ignore
        if cached is None:
            fit(network, *train, min_epochs, min_steps)
            cached = {"version": _VERSION, "state": network.state_dict(), "accuracy": accuracy(network, *test)}
            write_cache(cache_file, cached)
    network.load_state_dict(cached["state"])
    facts = {"accuracy": cached["accuracy"], "classes": num_classes, "trained on": len(train[0])}
    return Extractor("classifier", network.eval(), "pixels from -1 to 1 at the data's own size", facts, network.head)


def fit(network: Classifier, images: Tensor, labels: Tensor, min_epochs: int, min_steps: int) -> None:
    """Trains the classifier on uint8 (N, C, H, W) and int64 (N,)."""
    size = min(_BATCH, len(images))
    batches = len(images) // size
    epochs = max(min_epochs, -(-min_steps // batches))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, epochs * batches)
    device = network.head.weight.device
    network.train()
    started = time.monotonic()
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for index in order[: batches * size].split(size):
            logits = network.head(network(images[index].to(device)))
            loss = F.cross_entropy(logits, labels[index].to(device), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch == 0 and (left := (epochs - 1) * (time.monotonic() - started)) > _LONG:
            log.info("the classifier needs about %.0f s more", left)
    network.eval()


@torch.no_grad()
def accuracy(network: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 images (N, C, H, W) whose label, int64 (N,), has the largest logit."""
    device = network.head.weight.device
    right = sum(
        int((network.head(network(part.to(device))).argmax(1).cpu() == wanted).sum())
        for part, wanted in zip(images.split(500), labels.split(500), strict=True)
    )
    return right / len(images)
