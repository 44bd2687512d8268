"""A recurrent prior over maps of codes, in raster order.

    log p(codes) = sum_i log p(code_i | code_1, ..., code_{i-1})

A code is a tuple of digits (`quantisers.to_digits`), whose probabilities are a product too: each digit has a small
network that reads the digits before it. A softmax over all codes would cost more than the recurrence.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.categorical import draw_categorical
from genimg.models.networks.frames import coarse_sizes
from genimg.models.networks.layers import class_vectors
from genimg.models.networks.quantisers import from_digits, to_digits
from genimg.models.networks.shape import NetworkShape

READ = 3  # codes that a place reads besides the recurrent state: the one before, the one above and the one to its right


class CodePrior(nn.Module):
    """A GRU over the codes of an image.

    Args:
        shape: the image, whose coarsest map has the codes; `hidden` is the number of units of the recurrent layers.
        levels: values of each digit of a code.
        layers: recurrent layers.
    """

    def __init__(self, shape: NetworkShape, levels: Sequence[int], layers: int) -> None:
        super().__init__()
        self.levels, self.num_classes = tuple(levels), shape.num_classes
        self.map_size = coarse_sizes(shape)[-1]
        hidden = shape.hidden
        height, width = self.map_size
        # the label `num_classes` stands for an unknown class
        self.embedding = nn.Embedding(self.num_classes + 1, hidden) if self.num_classes else None
        self.rows = nn.Parameter(0.02 * torch.randn(height, 1, hidden))
        self.columns = nn.Parameter(0.02 * torch.randn(1, width, hidden))
        self.of_digits = nn.ModuleList(nn.Embedding(count, READ * hidden) for count in levels)
        self.gru = nn.GRU(hidden, hidden, num_layers=layers, batch_first=True)
        units = max(1, hidden // 2)  # of the network of a digit
        self.to_units = nn.Linear(hidden, len(levels) * units)
        self.to_later = nn.ModuleList(  # what a digit adds to the units of the later ones
            nn.Embedding(count, (len(levels) - 1 - place) * units) for place, count in enumerate(levels[:-1])
        )
        self.to_logits = nn.ModuleList(nn.Linear(units, count) for count in levels)

    def log_prob(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes, int64 (B, h, w), labels int64 (B,) if conditional -> nats of each code, (B, h, w), float32."""
        digits = to_digits(codes, self.levels)
        before, above, right = self._embedded(digits).chunk(READ, dim=-1)
        height, width = self.map_size
        inputs = (
            F.pad(before.flatten(1, 2), (0, 0, 1, -1)).unflatten(1, (height, width))
            + F.pad(above, (0, 0, 0, 0, 1, -1))
            + F.pad(right, (0, 0, -1, 1, 1, -1))
            + self._places(labels)
        )
        states = self.gru(inputs.flatten(1, 2))[0].view_as(inputs)
        parts = self._units(states)
        nats = []
        for place, digit in enumerate(digits.unbind(-1)):
            log_p = F.log_softmax(self._logits(parts, place), dim=-1)
            nats.append(log_p.gather(-1, digit.unsqueeze(-1)))
            parts = self._add(parts, place, digit)
        return torch.cat(nats, dim=-1).sum(-1)

    @torch.no_grad()
    def sample(self, uniform: Tensor, labels: Tensor | None, temperature: float, guidance: float) -> Tensor:
        """Draws codes, int64 (N, h, w). A step reads the recurrent state of the code before.

        Args:
            uniform: random numbers inside (0, 1), float64 (N, h, w, D), on the CPU.
            labels: int64 (N,) if conditional.
            temperature: divides the log-probabilities of the digits; 0 takes the likeliest.
            guidance: weight g of the class: log p(x) + g (log p(x | class) - log p(x)), up to a constant, for each
                digit (Ho & Salimans 2022). 1 = as trained.
        """
        count, device = len(uniform), self.rows.device
        total, weight = count, None
        if labels is not None and guidance != 1:  # a second half of the batch has no class
            labels = torch.cat([labels, torch.full_like(labels, self.num_classes)])
            total, weight = 2 * count, guidance
        height, width = self.map_size
        places = self._places(labels).expand(total, -1, -1, -1)
        before = places.new_zeros(total, places.shape[3])
        above = places.new_zeros(total, width + 1, 2 * places.shape[3])  # of the last row, with a border at the right
        state, rows = None, []
        for row in range(height):
            drawn = torch.zeros_like(above)
            codes = []
            for column in range(width):
                over, right = above[:, column].chunk(2, dim=-1)[0], above[:, column + 1].chunk(2, dim=-1)[1]
                inputs = before + over + right + places[:, row, column]
                out, state = self.gru(inputs[:, None], state)
                digits = self._draw(out[:, 0], uniform[:, row, column], temperature, weight)
                codes.append(digits[:count])
                before, kept = self._embedded(digits).split((before.shape[1], drawn.shape[2]), dim=-1)
                drawn[:, column] = kept
            above = drawn
            rows.append(torch.stack(codes, dim=1))
        return from_digits(torch.stack(rows, dim=1).to(device), self.levels)

    def _draw(self, state: Tensor, uniform: Tensor, temperature: float, guidance: float | None) -> Tensor:
        """Digits (N, D) of one place, from states (N, hidden); the halves of a guided batch get the same digits."""
        digits, parts = [], self._units(state)
        for place in range(len(self.levels)):
            logits = self._logits(parts, place)
            if guidance is not None:
                of_class, without = logits.chunk(2)
                logits = torch.lerp(without, of_class, guidance)  # as for log-probabilities, up to a constant
            digit = draw_categorical(logits, uniform[:, place], temperature)
            digits.append(digit if guidance is None else digit.repeat(2))
            parts = self._add(parts, place, digits[-1])
        return torch.stack(digits, dim=-1)

    def _embedded(self, digits: Tensor) -> Tensor:
        """Digits (..., D) -> (..., READ * hidden): what the code after, the one below, and that to its left read."""
        parts = [embedding(digits[..., place]) for place, embedding in enumerate(self.of_digits)]
        return torch.stack(parts).sum(0)

    def _places(self, labels: Tensor | None) -> Tensor:
        """Vectors of the places, and of the class if there is one: (B, h, w, hidden), B = 1 without labels."""
        places = (self.rows + self.columns).unsqueeze(0)
        if self.embedding is None:
            return places
        return places + class_vectors(self.embedding, labels)[:, None, None]

    def _units(self, states: Tensor) -> list[Tensor]:
        """States (..., hidden) -> the units (..., units) of the network of each digit, before what digits add."""
        return list(self.to_units(states).chunk(len(self.levels), dim=-1))

    def _add(self, parts: list[Tensor], place: int, digit: Tensor) -> list[Tensor]:
        """The units, with what the digit at `place`, int64 (...), adds to those of the later ones."""
        later = len(parts) - place - 1
        if not later:
            return parts
        added = self.to_later[place](digit).chunk(later, dim=-1)
        return parts[: place + 1] + [part + one for part, one in zip(parts[place + 1 :], added, strict=True)]

    def _logits(self, parts: list[Tensor], place: int) -> Tensor:
        """(..., levels), float32."""
        return self.to_logits[place](F.leaky_relu(parts[place], 0.2)).float()
