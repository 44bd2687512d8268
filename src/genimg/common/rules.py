"""The rule of each key: its type, range and choices, in one table.

A key without a rule takes the type of its default. The rules of `model.*` and `data.*` apply to the classes of this
package; a user-defined class keeps only the rules of keys that mean the same everywhere (`everywhere=True`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

from genimg.common.declared import registry
from genimg.common.limits import LEAST_SIGMA, MOST_CHANNELS, MOST_THREADS, SIDES
from genimg.common.rule import (
    Anything,
    Ends,
    Flag,
    Grid,
    Integer,
    List,
    Mapping,
    Names,
    Number,
    Numbers,
    Pair,
    Paths,
    Rule,
    Seeds,
    Size,
    Text,
    Two,
    one_of,
    registered,
)
from genimg.common.seeds import LARGEST_SEED

RULES: dict[str, Rule] = {
    # train
    "seed": Integer(0, LARGEST_SEED),
    "dry_run": Flag(),
    "resume": Text(null=True),
    "init_from": Text(null=True),
    "init_weights": one_of("raw", "ema"),
    "freeze": List(),
    "name": Text(null=True),
    "tags": List(),
    "allow_changes": Flag(),
    "outputs": Text(),
    "run_dir": Text(null=True),
    "budget.images": Integer(1, null=True),
    "budget.epochs": Number(above=0, null=True),
    "budget.steps": Integer(1, null=True),
    "budget.minutes": Number(above=0, null=True),
    "checkpoint.every_images": Integer(1, null=True),
    "checkpoint.every_minutes": Number(above=0, null=True),
    "checkpoint.keep": Integer(1, choices=("all",), null=True),
    "ema.half_life": Ends(low=0),
    "ema.ramp": Number(above=0, high=1),
    "ema.sigma_rel": Numbers(above=0, high=0.28, null=True),  # 1 / sqrt(12) is that of all times with equal weights
    "log_every_steps": Integer(1),
    "health.on_divergence": one_of("stop", "rollback"),
    "health.patience": Integer(1, null=True),
    "sweep.resume": Text(null=True),
    "sweep.seeds": Integer(1, null=True),
    "sweep.fail_fast": Flag(),
    "hydra.launcher.n_jobs": Integer(low=1, choices=("-1",)),
    "hydra.sweeper.n_trials": Integer(1),
    "hydra.sweeper.n_jobs": Integer(1),
    "hydra.sweeper.seed": Integer(0, LARGEST_SEED),
    "hydra.sweeper.sampler.seed": Integer(0, LARGEST_SEED, null=True),
    "hydra.sweeper.prune": Flag(),
    "hydra.sweeper.direction": Text(choices=("minimize", "maximize"), null=True),
    "hydra.sweeper.storage": Text(null=True),
    "hydra.sweeper.study_name": Text(null=True),
    # trainer
    "trainer.accelerator": one_of("auto", "cpu", "gpu"),
    "trainer.devices": Integer(low=1, choices=("auto",)),
    "trainer.num_nodes": Integer(1),
    "trainer.strategy": Text(),
    "trainer.precision": one_of("auto", "32-true", "bf16-mixed", "16-mixed"),
    "trainer.memory_format": one_of("auto", "channels_last", "contiguous"),
    "trainer.fused": Flag(choices=("auto",)),
    "trainer.deterministic": Flag(),
    "trainer.graph": Flag(choices=("auto",)),
    "trainer.detect_anomaly": Flag(),
    "trainer.profiler": Text(null=True, registry=("genimg.training.profilers", "PROFILERS")),
    "trainer.accumulate_grad_batches": Integer(1),
    "trainer.gradient_clip_val": Number(above=0, null=True),
    "trainer.gradient_clip_algorithm": one_of("norm", "value"),
    "trainer.threads": Integer(1, MOST_THREADS, null=True),
    # launch
    "launch.rdzv_endpoint": Text(null=True),
    "launch.node_rank": Integer(0),
    "launch.max_restarts": Integer(0),
    # data
    "data.image_size": Size(low=SIDES[0], high=SIDES[1], everywhere=True),
    "data.channels": Text(choices=("1", "3"), everywhere=True),
    "data.batch_size": Integer(1, everywhere=True),
    "data.root": Text(null=True),
    "data.test_file": Text(null=True),
    "data.num_frames": Integer(2, 100_000),
    "data.given_frames": Integer(1, 100_000),
    "data.short": registered("data.frame_folder", "SHORT"),
    "data.sheet": Grid(1, 1000, null=True),
    "data.sheet_clips": registered("data.frame_folder", "SHEET_CLIPS"),
    "data.stills": Pair(low=1, high=3),
    "data.still_scale": Number(above=0, high=1),
    "data.speed": Two(above=0),
    "data.limit": Number(above=0, null=True),
    "data.val_fraction": Number(above=0, high=0.5),
    "data.test_fraction": Number(above=0, high=0.5),
    "data.flip": Flag(),
    "data.workers": Integer(0, 1000, null=True),
    "data.fit": one_of("crop", "pad", "stretch"),
    "data.variant": one_of("balanced", "letters", "digits", "mnist", "bymerge", "byclass"),
    "data.background": Anything(),  # a colour; the data set parses it
    "data.cache": Anything(),  # true, false or a folder
    "data.minutes": Number(above=0, everywhere=True),
    # model
    "model.lr": Number(above=0, everywhere=True),
    "model.*_lr": Number(above=0),
    "model.latent_dim": Integer(1, MOST_CHANNELS, everywhere=True),
    "model.fit": Text(choices=("auto",), null=True, everywhere=True),
    "model.width": Integer(1, MOST_CHANNELS, everywhere=True),
    "model.max_width": Integer(1, MOST_CHANNELS),
    "model.lr_schedule": registered("models.schedules", "LR_SCHEDULES"),
    "model.lr_warmup": Number(low=0, high=1),
    "model.final_lr": Number(low=0, high=1),
    "model.n_critic": Integer(1),
    "model.beta2": Ends(low=0, high=0.9999, null=True),
    "model.centring": Number(low=0),
    "model.gamma": Ends(low=0, choices=("auto",)),
    "model.gradient_penalty": Number(low=0),
    "model.penalty": registered("models.gan", "PENALTIES"),
    "model.penalty_on": registered("models.gan", "PENALISED"),
    "model.penalty_every": Integer(1),
    "model.penalty_directions": Integer(1),
    "model.penalty_step": Number(above=0),
    "model.penalty_share": Number(above=0, high=1),
    "model.conditional": Flag(everywhere=True),
    "model.actions": Flag(choices=("auto",)),
    "model.objective": registered(
        "models.objectives.adversarial", "OBJECTIVES", hint="for a user-defined loss see docs/extending.md"
    ),
    "model.output": registered("models.outputs", "OUTPUTS"),
    "model.padding": registered("models.networks.periodic", "PADDINGS"),
    "model.places": Number(low=0, choices=("auto",)),
    "model.batch_statistics": Flag(),
    "model.likelihood": registered("models.objectives.likelihoods", "LIKELIHOODS", "auto"),
    "model.distribution": registered("models.objectives.pixel_distributions", "PIXEL_DISTRIBUTIONS", "auto"),
    "model.given_frames": Integer(1, 100_000),
    "model.feeding": registered("models.objectives.feeding", "FEEDINGS"),
    "model.label_dropout": Number(low=0, high=1),
    "model.glimpses": Integer(1, 1000),
    "model.read_size": Integer(1, SIDES[1]),
    "model.write_size": Integer(1, SIDES[1]),
    "model.kernel": Integer(1, MOST_CHANNELS),
    "model.code_map": Integer(2, 64),
    "model.levels": List(),  # the quantiser checks them
    "model.code_dim": Integer(1, MOST_CHANNELS),
    "model.commitment": Number(low=0),
    "model.codebook_decay": Number(low=0, high=0.9999),
    "model.adversarial": Number(low=0, choices=("auto",)),
    "model.augmentation": Names(
        choices=("auto", "ada"), registry=("genimg.models.networks.augmentation", "OPERATIONS")
    ),
    "model.augmentation_p": Ends(low=0, high=1, choices=("adaptive",)),
    "model.augmentation_ramp": Number(above=0),
    "model.prior": registered("models.vae", "PRIORS"),
    "model.beta": Number(low=0),
    "model.kl_warmup": Number(low=0, high=1),
    "model.components": Integer(1, MOST_CHANNELS),
    "model.hidden": Integer(1, MOST_CHANNELS),
    "model.blocks": Integer(1, 1000),
    "model.group_width": Integer(1, MOST_CHANNELS),
    "model.smallest": Integer(1, 7),
    "model.attention": Integer(1, SIDES[1], null=True),
    "model.spectral_generator": Flag(),
    "model.mapping_layers": Integer(1, 100),
    "model.style_mixing": Number(low=0, high=1),
    "model.path_length": Number(low=0),
    "model.path_length_every": Integer(1),
    "model.path_length_share": Number(above=0, high=1),
    "model.group_size": Integer(1),
    "model.recurrent": registered("models.networks.recurrent", "CORES"),
    "model.features": Integer(1, MOST_CHANNELS),
    "model.layers": Integer(1, 1000),
    "model.patch": Integer(1, SIDES[1]),
    "model.decoupling": Number(low=0),
    "model.cell_width": Integer(1, MOST_CHANNELS),
    "model.order": Integer(1, 9),
    "model.moment": Number(low=0),
    "model.first_sigma": Number(low=LEAST_SIGMA),
    "model.least_sigma": Number(low=LEAST_SIGMA),
    "model.truncation": Integer(1, null=True),
    "model.checkpointing": Flag(),
    "model.grad_clip": Number(above=0),
    "model.futures": Integer(1),
    # callbacks: a key means the same in each
    "callbacks.*.times": Integer(1),
    "callbacks.frechet_random.num_images": Integer(2),  # a covariance needs two
    "callbacks.*.num_images": Integer(1),
    "callbacks.samples.num_images": Integer(1, 10_000),  # images on one sheet
    "callbacks.*.num_clips": Integer(1, 1000),
    "callbacks.*.every_*": Number(above=0),
    # sample
    "run": Text(),
    "checkpoint": one_of("best", "last"),
    "num_images": Integer(1, 10_000_000),  # a file for each
    "seeds": Seeds(null=True),
    "classes": List(null=True),
    "truncation": Number(above=0, null=True),
    "truncation_psi": Number(low=0, null=True),
    "temperature": Number(low=0),
    "guidance": Number(low=0, null=True),
    "complete": Paths(null=True),
    "known": Number(low=0, high=1),
    "drawing": Flag(),
    "rows": Integer(1, null=True),
    "columns": Integer(1, null=True),
    "interpolate": Integer(1, 10_000, null=True),  # frames between two images: 17 minutes at 10 a second
    "directions": Mapping(null=True),
    "directions.*": Number(),
    "select": Number(low=0.01, high=1, null=True),
    "sliders": List(null=True),
    "mix_seeds": Seeds(null=True),
    "mix_layer": Integer(1, null=True),
    "reconstruct": Paths(null=True),
    "project": Paths(null=True),
    "project_space": Text(registry=("genimg.sampling.projected", "SPACES"), null=True),
    "project_steps": Integer(1),
    "latents": Text(null=True),
    "start": Paths(null=True),
    "end": Paths(null=True),
    "loop": Flag(),
    "num_frames": Integer(2, null=True),
    "futures": Integer(1),
    "actions": List(null=True),
    "fps": Number(low=1, high=50),
    "frames": Flag(),
    "individual": Flag(),
    "device": Text(),
    "out": Text(null=True),
    "trust": List(),
    # export
    "format": registered("sampling.export.formats", "FORMATS"),
    # crafter
    "num_clips": Integer(1, 100_000),
    # compare, rate
    "runs": Paths(null=True),
    "results": Paths(null=True),
    "study": Text(null=True),
    "trials": Integer(2),
    "repeats": Number(low=0, high=0.5),
    "exposure": Number(low=0.25, high=5, null=True),
    # evaluate
    "features": Text(),  # a registered extractor or a class: see cross_checks.check_features
    "weights": Text(null=True),
    "importance_samples": Integer(1),
    "root": Text(null=True),
    "cache": Anything(),  # true, false or a folder
}


@cache
def rule_for(key: str) -> Rule | None:
    """The rule of a dotted key: its own, else the rule of the first pattern that it matches, with its names."""
    rule = RULES.get(key) or next((rule for name, rule in RULES.items() if fnmatchcase(key, name)), None)
    return rule if rule is None or rule.registry is None else rule.with_names(registry(*rule.registry))


def takes_names(key: str) -> bool:
    """Whether the value of a key is a mapping of names that the user chooses."""
    return isinstance(rule_for(key), Mapping)
