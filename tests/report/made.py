"""A run folder with the files of training and evaluation, without running them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from genimg.common.run_folder import RunFolder
from genimg.sampling.images.files import save_png


def make_run(folder: Path, lr: float = 0.1, frechet: float = 2.0, note: str = "") -> RunFolder:
    """Writes a small run folder."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    budget = "budget:\n  images: 1000\n  epochs: null\n  minutes: 1.5\n"
    model = f"model:\n  _target_: genimg.models.gan.GAN\n  name: gan\n  lr: {lr}\n"
    run.config.write_text(f"{model}data:\n  name: digits\n{budget}run_dir: {folder}\n")
    run.overrides.write_text(f"model.lr={lr}\n")
    run.command.write_text(f"genimg-train model.lr={lr}\n")
    run.log.write_text("2026-01-01 00:00:00,000 INFO    genimg: machine   CPU, 2 threads\n")
    rows: list[dict[str, Any]] = [
        {"images_seen": 64 * step, "seconds": step, "stage": "train", "loss_d": 1 / step, "lr": lr}
        for step in range(1, 3000)
    ]
    rows.append({"images_seen": 191936, "seconds": 3000, "stage": "val", "n": 32, "elbo": 1 / frechet, "loss_d": None})
    rows.append({"images_seen": 191936, "seconds": 3000, "stage": "val", "n": 500, "frechet_random": frechet})
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = {"name": "frechet_random", "value": frechet, "direction": "min", "n": 500, "images_seen": 191936}
    run.best_metric.write_text(json.dumps(best))
    for index, level in enumerate((0, 100, 200)):
        image = torch.full((1, 8, 8), level, dtype=torch.uint8)
        save_png(image, run.samples / "during" / f"{64 * (index + 1):09d}.png")
    save_png(torch.zeros(1, 8, 8, dtype=torch.uint8), run.samples / "final" / "sheet.png")
    figure = {
        "group": "sample quality", "name": "frechet distance", "value": frechet, "kind": "proxy", "n": 40,
        "better": "lower", "floor": 0.5, "uncertainty": None, "unit": "", "note": note,
        "by_horizon": [], "floor_by_horizon": [],
    }  # fmt: skip
    evaluation = {
        "format": 1,
        "checkpoint": {"images_seen": 191936},
        "data": {"digest": "0" * 16},
        "preprocessing": {"images": "rounded to 8 bits", "features": "pixels from -1 to 1"},
        "extractor": {"name": "classifier", "digest": "0123456789abcdef"},
        "figures": [figure],
        "refused": {"likelihood": "no probability"},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return run
