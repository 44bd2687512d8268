"""Value, gradient and time of the ways to compute R1 of a trained discriminator.

    python benchmarks/penalty.py RUN          # the run folder of a GAN whose data are available

The reference is the gradient, in the weights of D, of the exact R1 of 256 images in float32. Each row compares it with
the gradient of one training step's penalty: 16 images, as with data.batch_size=64 and model.penalty_share=0.25. `norm`
is the ratio of the gradients' norms, `cosine` the cosine between them; both are means over the draws.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.build import Builder
from genimg.common.run_folder import RunFolder
from genimg.models.gan import GAN
from genimg.models.objectives.penalties import squared_gradient, squared_gradient_estimate

DRAWS = 16
IMAGES = 16

Penalty = Callable[[Tensor, Tensor | None], Tensor]


def gradient(model: GAN, penalty: Tensor) -> Tensor:
    """The gradient of a mean penalty in the weights of D, as one vector."""
    weights = list(model.discriminator.parameters())
    parts = torch.autograd.grad(penalty.mean(), weights, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).flatten() if g is None else g.flatten() for g, w in zip(parts, weights, strict=True)]
    )


def load(run: Path) -> tuple[GAN, Tensor, Tensor | None]:
    """The GAN of a run, with 256 training images in [-1, 1] and their labels."""
    checkpoint = load_checkpoint(RunFolder(run).last)
    model: GAN = Builder(()).build(checkpoint["config"]["model"])
    model.load_state_dict(checkpoint["model"])
    data = Builder().build(checkpoint["config"]["data"])
    data.setup("fit")
    batches = [batch for _, batch in zip(range(256 // data.batch_size), data.train_dataloader(), strict=False)]
    images = torch.cat([batch["images"] for batch in batches]).float() / 127.5 - 1
    return model, images, torch.cat([batch["labels"] for batch in batches]) if model.num_classes else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    model, images, labels = load(parser.parse_args().run)

    def exact(x: Tensor, y: Tensor | None) -> Tensor:
        return squared_gradient(lambda x: model.discriminator(x, y), x)

    def estimate(directions: int) -> Penalty:
        def penalty(x: Tensor, y: Tensor | None) -> Tensor:
            twice = None if y is None else torch.cat([y, y])
            return squared_gradient_estimate(lambda x: model.discriminator(x, twice), x, 0.02, directions)

        return penalty

    whole = exact(images, labels)
    reference = gradient(model, whole)
    print(f"R1 of {len(images)} images: {float(whole.mean().detach()):.3f}")
    print("| penalty | R1 | norm | cosine | ms |\n|---|---|---|---|---|")
    ways = {"exact": exact} | {f"first_order, {k} directions": estimate(k) for k in (1, 4, 16)}
    for name, penalty in ways.items():
        torch.manual_seed(0)
        values, norms, cosines, start = [], [], [], time.perf_counter()
        for _ in range(DRAWS):
            chosen = torch.randperm(len(images))[:IMAGES]
            value = penalty(images[chosen], None if labels is None else labels[chosen])
            found = gradient(model, value)
            values.append(value.mean())
            norms.append(found.norm() / reference.norm())
            cosines.append(torch.cosine_similarity(found, reference, dim=0))
        ms = 1000 * (time.perf_counter() - start) / DRAWS
        means = [float(torch.stack(column).mean().detach()) for column in (values, norms, cosines)]
        print(f"| {name} | {means[0]:.3f} | {means[1]:.2f} | {means[2]:.2f} | {ms:.0f} |")


if __name__ == "__main__":
    main()
