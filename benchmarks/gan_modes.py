"""How many of 1,000 modes a GAN draws: stacked digits, an image whose three channels are independent digits.

    python benchmarks/gan_modes.py                                  # 5 minutes, one thread
    python benchmarks/gan_modes.py --overrides model/network=dcgan budget.minutes=10

The data are 20,000 colour images of 16 pixels made of scikit-learn's digits; the classes are not shown to the GAN. A
nearest-neighbour classifier on the digits names the three digits of each of 10,000 samples of the best checkpoint
(Metz et al. 2017, "Unrolled generative adversarial networks", section 3.3.1). The Kullback-Leibler divergence compares
the frequencies of the modes with uniform ones, in nats; 10,000 real images have 0.05. Stacked digits are often made of
MNIST, so the values are comparable only within one table.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import genimg
from genimg.sampling.images.sheets import to_uint8

COUNT, SIDE, SAMPLES = 20_000, 16, 10_000


def write_images(folder: Path, digits: np.ndarray) -> None:
    """Writes COUNT images of three digits each; `digits` is uint8 (N, 16, 16)."""
    folder.mkdir()
    chosen = np.random.default_rng(0).integers(0, len(digits), (COUNT, 3))
    for number, row in enumerate(chosen):
        Image.fromarray(np.moveaxis(digits[row], 0, -1)).save(folder / f"{number:05}.png")


def modes(images: torch.Tensor, classifier: KNeighborsClassifier) -> np.ndarray:
    """The mode of each image, 0 to 999, from uint8 (N, 3, 16, 16)."""
    named = classifier.predict(images.flatten(0, 1).flatten(1).numpy()).reshape(-1, 3)
    return named @ np.array([100, 10, 1])


def divergence(found: np.ndarray) -> float:
    """KL(frequencies of the modes || uniform), in nats."""
    shares = np.bincount(found, minlength=1000) / len(found)
    shares = shares[shares > 0]
    return float((shares * np.log(1000 * shares)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overrides", nargs="*", default=["budget.minutes=5"], help="of the command")
    arguments = parser.parse_args()
    raw, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(raw).float().view(-1, 1, 8, 8) * (255 / 16)
    digits = F.interpolate(small, SIDE, mode="bilinear", align_corners=False).round().byte()[:, 0]
    classifier = KNeighborsClassifier(3).fit(digits.flatten(1).numpy(), labels)
    with tempfile.TemporaryDirectory(prefix="genimg-") as name:
        folder = Path(name)
        write_images(folder / "images", digits.numpy())
        data = ["data=image_folder", f"data.root={folder / 'images'}", f"data.image_size={SIDE}"]
        words = ["model=gan", *data, f"outputs={folder / 'outputs'}", "trainer.threads=1", *arguments.overrides]
        command = [sys.executable, "-m", "genimg.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{shlex.join(command)} failed:\n{done.stderr}")
        sampler = genimg.load(next((folder / "outputs").glob("*/*/config.yaml")).parent, device="cpu")
        found = modes(torch.cat([to_uint8(part) for part in sampler.stream(SAMPLES, seed=1)]), classifier)
    print(f"{len(np.unique(found))} of 1,000 modes in {SAMPLES:,} samples, divergence {divergence(found):.3f} nats")


if __name__ == "__main__":
    main()
