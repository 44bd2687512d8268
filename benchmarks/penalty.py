"""Error of the first-order estimate of a trained discriminator's R1, by step and precision.

python benchmarks/penalty.py RUN          # the run folder of a GAN whose data are available
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.build import Builder
from genimg.common.run_folder import RunFolder
from genimg.models.gan import GAN
from genimg.models.objectives.penalties import nearby, squared_gradient, squared_gradient_estimate

DRAWS = 20


def estimates(model: GAN, images: Tensor, step: float, half: bool) -> Tensor:
    """Returns the batch's mean estimate for each of `DRAWS` draws of the noise, (DRAWS,)."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model.discriminator(images).float()
        draws = [
            squared_gradient_estimate(logits, model.discriminator(nearby(images, step, generator)).float(), step).mean()
            for _ in range(DRAWS)
        ]
    return torch.stack(draws)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    checkpoint = load_checkpoint(RunFolder(parser.parse_args().run).last)
    model: GAN = Builder(()).build(checkpoint["config"]["model"])
    model.load_state_dict(checkpoint["model"])
    data = Builder().build(checkpoint["config"]["data"])
    data.setup("fit")
    images = next(iter(data.val_dataloader()))["images"].float() / 127.5 - 1
    print(f"R1 by double backward in float32: {squared_gradient(model.discriminator, images).mean():.3f}")
    for step in (0.01, 0.02, 0.05, 0.1):
        single, half = (estimates(model, images, step, half) for half in (False, True))
        print(
            f"step {step:<5} float32 {single.mean():.3f} +- {single.std() / DRAWS**0.5:.3f}"
            f"   bfloat16 {half.mean():.3f} +- {half.std() / DRAWS**0.5:.3f}"
        )


if __name__ == "__main__":
    main()
