"""How many of the modes of its data a GAN draws.

    python benchmarks/gan_modes.py                                  # stacked digits, 5 minutes, one thread
    python benchmarks/gan_modes.py gaussians --overrides model/network=dcgan budget.minutes=10

stacked_digits: 20,000 colour images of 16 pixels, whose channels are independent digits of scikit-learn. The classes
are not shown to the GAN. A nearest-neighbour classifier on the digits names the three digits of each sample, as in
Metz et al. 2017, "Unrolled generative adversarial networks", section 3.3.1, of 26,000 samples, as in Lin et al. 2018,
"PacGAN", section 4.1. The Kullback-Leibler divergence compares the frequencies of the 1,000 modes with uniform ones, in
nats; as many training images have 0.05. Stacked digits are often made of MNIST, so compare values only within
one table.

gaussians: points of a mixture of 25 normal distributions on a grid from -2 to 2 with the standard deviation 0.05
(Srivastava et al. 2017, "VEEGAN", section 4.1), as grey images of 8 pixels, whose left half is x and whose right half
is y. A sample belongs to a mode if the means of its halves are within 3 standard deviations of it; the share of such
samples is reported, and the deviation of the pixels within a half, in those of a mode. Real images have 98.5 %.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from runs import train
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import genimg
from genimg.sampling.images.sheets import to_uint8

COUNT, SAMPLES = 20_000, 26_000
DIGIT_SIDE, POINT_SIDE = 16, 8
STEP, DEVIATION = 1.0, 0.05  # of the Gaussians: between neighbouring means, and of one of them
LEVELS_PER_UNIT = 50.0  # 8-bit levels of a coordinate: the standard deviation is 2.5 levels
Score = Callable[[torch.Tensor], str]  # of samples, uint8 (N, C, H, W)


def stacked_digits() -> tuple[np.ndarray, Score]:
    """The images, uint8 (N, 16, 16, 3), and their score."""
    raw, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(raw).float().view(-1, 1, 8, 8) * (255 / 16)
    digits = F.interpolate(small, DIGIT_SIDE, mode="bilinear", align_corners=False).round().byte()[:, 0].numpy()
    classifier = KNeighborsClassifier(3).fit(digits.reshape(len(digits), -1), labels)
    chosen = np.random.default_rng(0).integers(0, len(digits), (COUNT, 3))

    def score(samples: torch.Tensor) -> str:
        named = classifier.predict(samples.flatten(0, 1).flatten(1).numpy()).reshape(-1, 3)
        found = named @ np.array([100, 10, 1])
        return f"{len(np.unique(found))} of 1,000 modes, divergence {divergence(found):.3f} nats"

    return np.moveaxis(digits[chosen], 1, -1), score


def divergence(found: np.ndarray) -> float:
    """KL(frequencies of the 1,000 modes || uniform), in nats."""
    shares = np.bincount(found, minlength=1000) / len(found)
    shares = shares[shares > 0]
    return float((shares * np.log(1000 * shares)).sum())


def gaussians() -> tuple[np.ndarray, Score]:
    """The images, uint8 (N, 8, 8), and their score."""
    draw = np.random.default_rng(0)
    points = draw.integers(-2, 3, (COUNT, 2)) * STEP + draw.normal(0, DEVIATION, (COUNT, 2))
    levels = np.round(127.5 + LEVELS_PER_UNIT * points).astype(np.uint8)
    images = np.repeat(np.repeat(levels[:, None], POINT_SIDE // 2, axis=2), POINT_SIDE, axis=1)

    def score(samples: torch.Tensor) -> str:
        halves = samples.double().view(-1, POINT_SIDE, 2, POINT_SIDE // 2).transpose(1, 2).flatten(2)
        found = (halves.mean(-1).numpy() - 127.5) / LEVELS_PER_UNIT
        modes = np.clip(np.round(found / STEP), -2, 2)
        near = np.linalg.norm(found - STEP * modes, axis=1) < 3 * DEVIATION
        spread = float(halves.std(-1).mean()) / LEVELS_PER_UNIT / DEVIATION
        count = len(np.unique(modes[near], axis=0))
        return f"{count} of 25 modes, {near.mean():.1%} of the samples in one; halves differ by {spread:.2f} deviations"

    return images, score


DATA = {"stacked_digits": stacked_digits, "gaussians": gaussians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", choices=DATA, default="stacked_digits")
    parser.add_argument("--overrides", nargs="*", default=["budget.minutes=5"], help="of the command")
    arguments = parser.parse_args()
    images, score = DATA[arguments.data]()
    with tempfile.TemporaryDirectory(prefix="genimg-") as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / "images" / f"{number:05}.png")
        size, channels = images.shape[1], 3 if images.ndim == 4 else 1
        data = ["data=image_folder", f"data.root={folder / 'images'}", f"data.image_size={size}"]
        words = ["model=gan", *data, f"data.channels={channels}", "trainer.threads=1"]
        run = train([*words, *arguments.overrides], folder / "outputs")
        sampler = genimg.load(run, device="cpu")
        samples = torch.cat([to_uint8(part) for part in sampler.stream(SAMPLES, seed=1)])
    print(f"{score(samples)}, in {SAMPLES:,} samples of the best checkpoint")


if __name__ == "__main__":
    main()
