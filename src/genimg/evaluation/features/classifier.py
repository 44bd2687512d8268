"""The features of a small classifier, trained on the data set's own labels.

It sees what the images mean: a missing class moves its figures far, a little blur does not. Its Frechet distance is
no FID, and compares only with figures of the same extractor, named by its digest.
"""

import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.kept import keep, read

log = logging.getLogger(__name__)

FEATURES = 64
_RECIPE = 1  # raised where the network or its training changes: kept ones are trained anew
_SEED = 0
_BATCH = 128
_EPOCHS = 5  # of the training, at least
_STEPS = 300  # of it, at least
_LR = 4e-3
_WORTH_A_WORD = 10  # seconds of training still to come


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
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], num_classes: int, kept: Path | None, device: torch.device
) -> Extractor:
    """Read from `kept` where it lies there, else trained and kept.

    Args:
        train, test: uint8 images (N, C, H, W) and their labels, int64 (N,).
        kept: its file, named after the data; None keeps nothing.

    Its facts: `accuracy` on the test images, `classes`.
    """
    found = read(kept)
    found = found if found and found.get("recipe") == _RECIPE else None
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # other random numbers stay what they were
        torch.manual_seed(_SEED)
        network = Classifier(train[0].shape[1], num_classes).to(device, memory_format=torch.channels_last)  # pyright: ignore
        if found is None:
            fit(network, *train)
    if found is None:
        found = {"recipe": _RECIPE, "state": network.state_dict(), "accuracy": accuracy(network, *test)}
        keep(found, kept)
    else:
        network.load_state_dict(found["state"])
    facts = {"accuracy": found["accuracy"], "classes": num_classes}
    return Extractor("classifier", network.eval(), "pixels from -1 to 1 at the data's own size", facts, network.head)


def fit(network: Classifier, images: Tensor, labels: Tensor) -> None:
    """Trains on uint8 (N, C, H, W) and int64 (N,)."""
    size = min(_BATCH, len(images))
    batches = len(images) // size
    epochs = max(_EPOCHS, -(-_STEPS // batches))
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
        if epoch == 0 and (left := (epochs - 1) * (time.monotonic() - started)) > _WORTH_A_WORD:
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
