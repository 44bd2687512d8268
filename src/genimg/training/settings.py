"""Typed settings of a training run, read once from the resolved configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from genimg.common.run_config import mapped

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class TrainerSettings:
    """The group `trainer`, explained in configs/trainer/auto.yaml."""

    accelerator: str
    devices: int
    num_nodes: int
    strategy: str
    precision: str
    memory_format: str
    fused: bool | Literal["auto"]
    deterministic: bool
    threads: int | None


@dataclass(frozen=True)
class BudgetSettings:
    """The limits of a run; the first one that is reached ends it. None is no limit."""

    images: int | None
    epochs: float | None
    minutes: float | None


@dataclass(frozen=True)
class EMASettings:
    """half_life: images after which an old weight counts half. ramp: its upper limit, as a share of the images seen."""

    half_life: int
    ramp: float


@dataclass(frozen=True)
class CheckpointSettings:
    """Images and minutes between two saves of `last`; None disables that interval."""

    every_images: int | None
    every_minutes: float | None


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training run, explained in configs/train.yaml.

    config: the resolved configuration, as checkpoints store it. Its groups `model`, `data`, `callbacks` and `logger`
        are nodes for the builder.
    """

    seed: int
    dry_run: bool
    resume: str | None
    allow_changes: bool
    trust: tuple[str, ...] | None
    run_dir: Path
    log_every_steps: int
    rollback: bool
    trainer: TrainerSettings
    budget: BudgetSettings
    checkpoint: CheckpointSettings
    ema: EMASettings
    config: dict[str, Any]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrainSettings:
        """Reads the resolved configuration. Only a resumed run limits trust: its folder may be untrusted."""
        return cls(
            seed=config["seed"],
            dry_run=config["dry_run"],
            resume=config["resume"],
            allow_changes=config["allow_changes"],
            trust=tuple(config["trust"]) if config["resume"] else None,
            run_dir=Path(config["run_dir"] or ""),
            log_every_steps=config["log_every_steps"],
            rollback=config["health"]["on_divergence"] == "rollback",
            trainer=read(TrainerSettings, config["trainer"]),
            budget=read(BudgetSettings, config["budget"]),
            checkpoint=read(CheckpointSettings, config["checkpoint"]),
            ema=read(EMASettings, config["ema"]),
            config=config,
        )

    def with_run_dir(self, run_dir: Path) -> TrainSettings:
        """Returns the settings with another run folder."""
        return replace(self, run_dir=run_dir, config={**self.config, "run_dir": str(run_dir)})


def read(kind: type[Settings], node: dict[str, Any]) -> Settings:
    """Returns a settings class made of the keys of the same names in `node`."""
    return kind(**{field.name: node[field.name] for field in fields(kind)})  # pyright: ignore[reportArgumentType]


def resolve_auto(node: Any, answers: dict[str, Any]) -> Any:
    """Returns a configuration node with each `NAME: auto`, at any depth, replaced by `answers[NAME]`."""
    return mapped(node, lambda name, value: answers.get(name, value) if value == "auto" else value)
