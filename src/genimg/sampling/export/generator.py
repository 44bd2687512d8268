"""The generator of a model as one function of tensors, from noise to images in [-1, 1]."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.models.base import Animates, Decodes, GenerativeModel
from genimg.sampling.sampler import Sampler
from genimg.sampling.settings import check_at_least


class Input(NamedTuple):
    """One argument of the function. `shape` does not include the batch, which is the first axis and of any size."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str

    def with_batch(self) -> list[str]:
        return ["B", *map(str, self.shape)]


def remove_training_parts(model: GenerativeModel) -> None:
    """Deletes the modules, parameters and buffers of a model that are not in its `export_prefixes`."""
    parts = [*model.named_children(), *model.named_parameters(recurse=False), *model.named_buffers(recurse=False)]
    for name, part in parts:
        if not (f"{name}." if isinstance(part, nn.Module) else name).startswith(model.export_prefixes):
            delattr(model, name)


class ExportableGenerator(nn.Module):
    """`decode` of an image model or `animate` of a sequence model, without the parts that only training needs.

    Args:
        sampler: sampler on the CPU. Its model is modified.
        num_frames: frames of an exported sequence, which has a fixed length; None = as in training.

    Raises:
        UserError: if the images of the model are not a function of noise.
    """

    def __init__(self, sampler: Sampler, num_frames: int | None) -> None:
        super().__init__()
        model: Any = sampler.model
        self.classes, self.actions, self.image_shape = sampler.classes, sampler.actions, sampler.image_shape
        self.makes_sequences = sampler.makes_sequences
        if self.makes_sequences and isinstance(model, Animates):
            given, self.num_frames = sampler.model.given_frames, num_frames or sampler.num_frames or 0
            check_at_least("num_frames", self.num_frames, given + 1)
            noise = Input("noise", (1 + self.num_frames - given, model.latent_dim), "float32", "standard normal")
            meaning = "the start image of each sequence" if given == 1 else f"the first {given} frames of each sequence"
            start = Input("start", sampler.start_shape, "float32", f"{meaning}, values in [-1, 1]")
            self.inputs = [start, noise]
        elif not self.makes_sequences and isinstance(model, Decodes):
            if num_frames is not None:
                raise UserError("num_frames", num_frames, "not set; this model produces still images")
            self.inputs = [Input("z", (model.latent_dim,), "float32", "standard normal")]
        else:
            expected = "a model with decode(z, labels), or animate(start, noise, labels) for sequences"
            raise UserError("run", type(model).__name__, expected)
        if self.classes:
            self.inputs.append(Input("labels", (), "int64", f"the class, 0 to {len(self.classes) - 1}"))
        if self.actions:
            steps = self.num_frames - sampler.model.given_frames
            meaning = f"the action that leads to each frame, 0 to {len(self.actions) - 1}"
            self.inputs.append(Input("actions", (steps,), "int64", meaning))
        remove_training_parts(sampler.model)
        self.model: Any = sampler.model.eval().requires_grad_(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Returns images (B, C, H, W), or sequences (B, T, C, H, W), with values in [-1, 1]."""
        return self.call(self.model, *inputs)

    def call(self, model: Any, *inputs: Tensor) -> Tensor:
        """What `forward` returns, of another model of the same configuration."""
        if not self.makes_sequences:
            return model.decode(*inputs)
        if self.actions and not self.classes:
            start, noise, actions = inputs
            return model.animate(start, noise, None, actions)
        return model.animate(*inputs)

    def example(self, count: int, seed: int) -> tuple[Tensor, ...]:
        """Returns seeded inputs for `count` images."""
        generator = torch.Generator().manual_seed(seed)
        values = {
            one.name: torch.randn(count, *one.shape, generator=generator) for one in self.inputs if one.dtype != "int64"
        }
        if self.makes_sequences:
            values["start"] = values["start"].clamp(-1, 1)
        if self.classes:
            values["labels"] = torch.arange(count) % len(self.classes)
        if self.actions:
            shape = (count, *self.inputs[-1].shape)
            values["actions"] = torch.randint(len(self.actions), shape, generator=generator)
        return tuple(values.values())
