"""What `genimg sample` draws and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

import yaml
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.settings import read_settings
from genimg.sampling.inputs import ClassName, Paths, Seeds
from genimg.sampling.sequences import ClipSettings
from genimg.sampling.settings import LatentSettings

#: Options that every output accepts, also one that has nothing to apply them to.
_EVERYWHERE = frozenset(("num_images", "seed", "fps", "individual"))

#: Options that choose samples and change their latents.
OF_LATENTS = tuple(field.name for field in fields(LatentSettings))

#: Options of another one, with an example of it.
_OWNERS = {
    "project_space": ("project", "photo.png"),
    "project_steps": ("project", "photo.png"),
    "known": ("complete", "image.png"),
    "mix_layer": ("mix_seeds", "[1-5]"),
}


@dataclass(frozen=True, kw_only=True)
class SampleOptions(LatentSettings):
    """Keys of configs/sample.yaml, which documents them and has their defaults for the command."""

    select: float | None
    rows: int | None
    columns: int | None
    interpolate: int | None
    sliders: Sequence[str | int] | None
    mix_seeds: Seeds | None
    mix_layer: int | None
    reconstruct: Paths | None
    project: Paths | None
    project_space: str | None
    project_steps: int
    latents: str | None
    complete: Paths | None
    known: float
    drawing: bool
    start: Paths | None
    end: Paths | None
    loop: bool
    num_frames: int | None
    actions: Sequence[ClassName] | None
    futures: int
    fps: float
    frames: bool
    individual: bool

    @classmethod
    def defaults(cls, **changes: Any) -> SampleOptions:
        """Returns the defaults of configs/sample.yaml with `changes`."""
        text = resources.files("genimg.configs").joinpath("sample.yaml").read_text(encoding="utf-8")
        return read_settings(cls, {**yaml.safe_load(text), **changes})

    @property
    def frame_ms(self) -> int:
        """Duration of a GIF frame in milliseconds."""
        return round(1000 / self.fps)

    @property
    def skip_unreadable(self) -> bool:
        """Whether unreadable files of a given folder are skipped. With a list of classes, they would shift."""
        return not isinstance(self.classes, list)

    def clips(self, start: Tensor | None = None, end: Tensor | None = None) -> ClipSettings:
        """How sequences are drawn from the frames that `start` and `end` name."""
        return ClipSettings(start, end, self.loop, self.num_frames, self.futures, self.actions)

    def check_belonging(self) -> None:
        """Raises UserError for an option that is set without the one that it belongs to."""
        defaults = SampleOptions.defaults()
        for key, (owner, example) in _OWNERS.items():
            value = getattr(self, key)
            if value != getattr(defaults, key) and getattr(self, owner) is None:
                raise UserError(key, value, f"not set without {owner}", f"{owner}={example}")

    def check_used(self, by: str, used: Sequence[str]) -> None:
        """Raises UserError for a set option that is neither `by`, nor among those that its output uses."""
        defaults = SampleOptions.defaults()
        for key in (field.name for field in fields(self)):
            value = getattr(self, key)
            if key not in (by, *used, *_EVERYWHERE) and value != getattr(defaults, key):
                raise UserError(key, "true" if value is True else value, f"not set with {by}")
