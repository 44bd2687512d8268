"""Typed settings of a training run, read once from the resolved configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genimg.common.nodes import mapped
from genimg.common.settings import Node, read_settings


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
    graph: bool | Literal["auto"]
    detect_anomaly: bool
    profiler: str | None
    accumulate_grad_batches: int
    gradient_clip_val: float | None
    gradient_clip_algorithm: str
    threads: int | None


@dataclass(frozen=True)
class BudgetSettings:
    """The limits of a run; the first one that is reached ends it. None is no limit."""

    images: int | None
    epochs: float | None
    steps: int | None
    minutes: float | None


@dataclass(frozen=True)
class EMASettings:
    """half_life: images after which an old weight counts half: one number or the ends of a `Schedule`.
    ramp: its upper limit, as a share of the images seen.
    sigma_rel: widths of power functions in place of the two; None is one average by half-life.
    """

    half_life: float | list[float]
    ramp: float
    sigma_rel: list[float] | None


@dataclass(frozen=True)
class CheckpointSettings:
    """Images and minutes between two saves of `last`; None disables that interval.

    keep: of how many of these saves a file remains; None of none.
    """

    every_images: int | None
    every_minutes: float | None
    keep: int | Literal["all"] | None


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training run, explained in configs/train.yaml.

    init_from, init_weights: where a new run began; a resumed run keeps them and reads no other run.
    callbacks, logger: a node per name.
    config: the resolved configuration as it was given. Only `stored` reads it.
    """

    seed: int
    dry_run: bool
    resume: str | None
    init_from: str | None
    init_weights: str
    freeze: tuple[str, ...]
    allow_changes: bool
    trust: tuple[str, ...] | None
    tags: tuple[str, ...]
    run_dir: Path
    log_every_steps: int
    rollback: bool
    patience: int | None  # measurements without a better checkpoint, after which a run ends
    trainer: TrainerSettings
    budget: BudgetSettings
    checkpoint: CheckpointSettings
    ema: EMASettings
    model: Node
    data: Node
    callbacks: dict[str, Node]
    logger: dict[str, Node]
    config: dict[str, Any]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrainSettings:
        """Reads the resolved configuration. Only a resumed run limits trust: its folder may be untrusted."""
        return cls(
            seed=config["seed"],
            dry_run=config["dry_run"],
            resume=config["resume"],
            init_from=config["init_from"],
            init_weights=config["init_weights"],
            freeze=tuple(map(str, config["freeze"])),
            allow_changes=config["allow_changes"],
            trust=tuple(config["trust"]) if config["resume"] else None,
            tags=tuple(config["tags"]),
            run_dir=Path(config["run_dir"] or ""),
            log_every_steps=config["log_every_steps"],
            rollback=config["health"]["on_divergence"] == "rollback",
            patience=config["health"]["patience"],
            trainer=read_settings(TrainerSettings, config["trainer"]),
            budget=read_settings(BudgetSettings, config["budget"]),
            checkpoint=read_settings(CheckpointSettings, config["checkpoint"]),
            ema=read_settings(EMASettings, config["ema"]),
            model=config["model"],
            data=config["data"],
            callbacks=config["callbacks"],
            logger=config["logger"],
            config=config,
        )

    @property
    def stored(self) -> dict[str, Any]:
        """The complete configuration, which a checkpoint stores and a resumed run compares with the checkpoint's."""
        nodes = {"model": self.model, "data": self.data, "callbacks": self.callbacks, "logger": self.logger}
        return {**self.config, **nodes, "run_dir": str(self.run_dir)}


def resolve_auto(node: Any, answers: dict[str, Any]) -> Any:
    """Returns a configuration node with each `NAME: auto`, at any depth, replaced by `answers[NAME]`."""
    return mapped(node, lambda name, value: answers.get(name, value) if value == "auto" else value)
