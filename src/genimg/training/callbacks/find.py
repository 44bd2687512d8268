"""How one callback finds another, and the run's folder."""

from pathlib import Path
from typing import TypeVar

from pytorch_lightning import Callback, Trainer

from genimg.common.run_folder import RunFolder

Kind = TypeVar("Kind", bound=Callback)


def find(trainer: Trainer, kind: type[Kind]) -> Kind:
    """The callback of this kind among the trainer's."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return next(callback for callback in callbacks if isinstance(callback, kind))


def run_folder(trainer: Trainer) -> RunFolder:
    """Where the run writes."""
    return RunFolder(Path(trainer.default_root_dir))
