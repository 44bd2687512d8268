"""The generating half of a model as one function of tensors: from noise to images in [-1, 1]."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.models.base import Animates, Decodes, GenerativeModel
from genimg.sampling.sampler import Sampler


class Input(NamedTuple):
    """One argument. shape: without the batch, which comes first and may be of any size."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str

    def with_batch(self) -> list[str]:
        return ["B", *map(str, self.shape)]


def keep_generating(model: GenerativeModel) -> None:
    """Takes away the parts of a model whose weights are not in its `export_prefixes`."""
    parts = [*model.named_children(), *model.named_parameters(recurse=False), *model.named_buffers(recurse=False)]
    for name, part in parts:
        if not (f"{name}." if isinstance(part, nn.Module) else name).startswith(model.export_prefixes):
            delattr(model, name)


class ExportableGenerator(nn.Module):
    """`decode` of a model of stills, `animate` of a sequence model, and nothing that only training needs.

    Args:
        sampler: its model is taken apart; on the CPU.
        num_frames: of the clips of a sequence model, whose number is fixed in what is exported.

    Raises:
        UserError: for a model whose images are no function of noise.
    """

    def __init__(self, sampler: Sampler, num_frames: int | None) -> None:
        super().__init__()
        model: Any = sampler.model
        self.classes, self.image_shape = sampler.classes, sampler.image_shape
        self.makes_sequences = sampler.makes_sequences
        if self.makes_sequences and isinstance(model, Animates):
            self.num_frames = num_frames or sampler.num_frames
            noise = Input("noise", (self.num_frames or 0, model.latent_dim), "float32", "standard normal")
            start = Input("start", self.image_shape, "float32", "the image that each clip starts from, in [-1, 1]")
            self.inputs = [start, noise]
        elif not self.makes_sequences and isinstance(model, Decodes):
            if num_frames is not None:
                raise UserError("num_frames", num_frames, "null: this model makes stills")
            latent_dim = model.sample_latents(1, generator=torch.Generator(sampler.device)).shape[1]
            self.inputs = [Input("z", (latent_dim,), "float32", "standard normal")]
        else:
            name = type(model).__name__
            raise UserError(
                "run", name, "a model with decode(z, labels), or animate(start, noise, labels) for sequences"
            )
        if self.classes:
            self.inputs.append(Input("labels", (), "int64", f"the class, 0 to {len(self.classes) - 1}"))
        keep_generating(sampler.model)
        self.model: Any = sampler.model.eval().requires_grad_(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """(B, C, H, W), or (B, T, C, H, W) of a sequence model."""
        return self.model.animate(*inputs) if self.makes_sequences else self.model.decode(*inputs)

    def example(self, count: int, seed: int) -> tuple[Tensor, ...]:
        """A batch of `count` for each input, from a seed."""
        generator = torch.Generator().manual_seed(seed)
        made = {
            one.name: torch.randn(count, *one.shape, generator=generator) for one in self.inputs if one.dtype != "int64"
        }
        if self.makes_sequences:
            made["start"] = made["start"].clamp(-1, 1)
        if self.classes:
            made["labels"] = torch.arange(count) % len(self.classes)
        return tuple(made.values())
