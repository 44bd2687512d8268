"""Classes given by the user, drawn in turn: each is one class or a mixture of classes."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.inputs import ClassName, class_numbers

Mixture = Mapping[ClassName, float]
Classes = ClassName | Mixture | Sequence[ClassName | Mixture]


class ClassChoice:
    """The entries of `classes` as weights of labels.

    Args:
        classes: names or numbers, or mixtures such as `{"cat": 0.7, "dog": 0.3}`, whose weights are divided by their
            sum; None = each class.
        names: names of the labels 0, 1, ...; empty for an unconditional model, which has one entry without a label.

    Raises:
        UserError: if there is no such class, a weight is not a number above 0, or an unconditional model is given
            classes.
    """

    def __init__(self, classes: Classes | None, names: Sequence[str]) -> None:
        self.names = names
        if classes is not None and not names:
            expected = "not set; this model is unconditional"
            raise UserError("classes", classes, expected, hint="train with model.conditional=true")
        entries = [classes] if isinstance(classes, str | int | Mapping) else classes
        #: Whether an entry is a mixture; labels are then weights.
        self.is_mixed = any(isinstance(one, Mapping) for one in entries or ())
        self.entries: list[dict[int, float]]
        if not names:
            self.entries = [{}]
        elif entries:
            self.entries = [self._entry(one) for one in entries]
        else:
            self.entries = [{label: 1.0} for label in class_numbers(None if entries is None else (), names)]

    def __len__(self) -> int:
        """T, the number of entries."""
        return len(self.entries)

    def labels(self, begin: int, end: int, device: torch.device) -> Tensor | None:
        """The classes of the images `begin` to `end` - 1: int64 (N,), or weights, float32 (N, K), with mixtures.

        None for an unconditional model.
        """
        if not self.names:
            return None
        if self.is_mixed:
            chosen = torch.zeros(len(self), len(self.names))
            for row, entry in enumerate(self.entries):
                chosen[row, list(entry)] = torch.tensor(list(entry.values()))
        else:
            chosen = torch.tensor([label for entry in self.entries for label in entry])
        return chosen[torch.arange(begin, end) % len(self)].to(device)

    def grouped(self, count: int) -> list[int]:
        """The positions of the first `count` images, images of one class adjacent."""
        return sorted(range(count), key=lambda position: position % len(self))

    def name(self, position: int) -> str | None:
        """The class of an image as a name: `cat`, or `cat0.7+dog0.3`; None for an unconditional model."""
        if not self.names:
            return None
        entry = self.entries[position % len(self)]
        if len(entry) == 1:
            return self.names[next(iter(entry))]
        return "+".join(f"{self.names[label]}{weight:.3g}" for label, weight in entry.items())

    def _entry(self, one: ClassName | Mixture) -> dict[int, float]:
        """The labels and weights of one entry."""
        if not isinstance(one, Mapping):
            return {class_numbers([one], self.names)[0]: 1.0}
        for weight in one.values():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0 < weight < math.inf:
                expected = "a number above 0, the weight of the class in the mixture"
                raise UserError("classes", f"weight {weight}", expected, "classes=[{A:0.7,B:0.3}]")
        weights: dict[int, float] = {}
        for label, weight in zip(class_numbers(list(one), self.names), one.values(), strict=True):
            weights[label] = weights.get(label, 0.0) + weight
        total = sum(weights.values())
        return {label: weight / total for label, weight in weights.items()}
