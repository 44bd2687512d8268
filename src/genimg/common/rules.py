"""The rule of each key: its type, range and choices, in one table.

A key without a rule takes the type of its default. The rules of `model.*` and `data.*` apply to the classes of this
package; a user-defined class keeps only the rules of keys that mean the same everywhere (`everywhere=True`).
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from genimg.common.declared import registry
from genimg.common.limits import LARGEST_INTEGER, MOST_CHANNELS, MOST_THREADS, SIDES
from genimg.common.seeds import LARGEST_SEED, MOST_SEEDS, read_seeds


class Rule(NamedTuple):
    """The values that a key accepts. Bounds are inclusive, except `above`.

    kind: integer, number, flag, text, list, paths, any; size and pair are one or two integers, two is a list of two
        numbers, schedule is one number or a list of two, names is a list of words of `registry`, seeds is a list for
        `read_seeds`, mapping is of new names to values with a rule of their own.
    """

    kind: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()  # accepted words; with kind integer or number, besides numbers
    registry: tuple[str, str] | None = None  # (module, registry) whose names are the choices, or those of a list
    names: tuple[str, ...] = ()  # words of a list of kind names
    null: bool = False  # null is accepted
    everywhere: bool = False  # applies to user-defined classes too
    hint: str | None = None  # the hint if no choice is near

    def __str__(self) -> str:
        """The accepted values, as an error message lists them."""
        words = {"integer": "an integer", "number": "a number", "flag": "true or false", "text": "text"}
        words |= {
            "size": "one number or [height,width]",
            "pair": "one number or [least,most]",
            "two": "a list of two numbers",
            "schedule": "one number or [start,end]",
            "list": "a list: [a,b]",
            "names": f"a list of {', '.join(self.names)}",
            "seeds": f"a list of seeds, each once, and ranges, at most {MOST_SEEDS:,} in total: [1,5,9-12]",
            "any": "a value",
            "mapping": "a mapping: {a:1,b:2}",
            "paths": "a path or a list of them",
        }
        parts = [] if self.kind == "text" and self.choices else [words[self.kind] + self._range()]
        parts += self.choices
        parts += ["null"] if self.null else []
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"

    def accepts(self, value: object) -> bool:
        """Whether `value` is one of the accepted values."""
        if value is None:
            return self.null
        text = isinstance(value, str | int | float) and not isinstance(value, bool)
        if text and str(value) in self.choices:
            return True
        match self.kind:
            case "flag":
                return isinstance(value, bool)
            case "integer":
                return text and isinstance(value, int) and abs(value) <= LARGEST_INTEGER and self._in_range(value)
            case "number":
                return text and isinstance(value, int | float) and self._in_range(value)
            case "two" | "schedule":
                one = self._replace(kind="number", choices=(), null=False)
                values = value if isinstance(value, list) and len(value) == 2 else [value]
                return (len(values) == 2 or self.kind == "schedule") and all(map(one.accepts, values))
            case "size" | "pair":
                one = integer(self.low or 0, self.high)
                return all(map(one.accepts, value if isinstance(value, list) and len(value) == 2 else [value]))
            case "any":
                return True
            case "mapping":
                return isinstance(value, dict)
            case "list":
                return isinstance(value, list)
            case "names":
                return isinstance(value, list) and all(name in self.names for name in value)
            case "seeds":
                return isinstance(value, list) and _are_seeds(value)
            case "paths" if isinstance(value, list):
                return bool(value)
        return not self.choices and text and value != ""

    def applies(self, key: str, target: object) -> bool:
        """Whether the rule applies to `key`: those of model.* and data.* do to classes of this package.

        target: the `_target_` of the group of the key.
        """
        return self.everywhere or not key.startswith(("model.", "data.")) or str(target).startswith("genimg.")

    def _in_range(self, value: float) -> bool:
        if not is_finite(value) or (self.above is not None and not value > self.above):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _range(self) -> str:
        if self.above is not None:
            return f" above {_plain(self.above)}" + (f", at most {_plain(self.high)}" if self.high is not None else "")
        if self.low is not None and self.high is not None:
            return f" from {_plain(self.low)} to {_plain(self.high)}"
        return f", {_plain(self.low)} or more" if self.low is not None else ""


def is_finite(value: float) -> bool:
    """Whether `value` is a finite float or an integer that a float can hold, to some precision."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _are_seeds(given: list[int | str]) -> bool:
    try:
        return len(read_seeds(given)) > 0
    except ValueError:
        return False


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def integer(low: float, high: float | None = None, null: bool = False, everywhere: bool = False) -> Rule:
    return Rule("integer", low=low, high=high, null=null, everywhere=everywhere)


def one_of(*choices: str) -> Rule:
    return Rule("text", choices=choices)


def registered(module: str, name: str, hint: str | None = None) -> Rule:
    """One of the names in a registry of this package, which is read from its source when the rule is used."""
    return Rule("text", registry=(f"genimg.{module}", name), hint=hint)


RULES: dict[str, Rule] = {
    # train
    "seed": integer(0, LARGEST_SEED),
    "dry_run": Rule("flag"),
    "resume": Rule("text", null=True),
    "allow_changes": Rule("flag"),
    "outputs": Rule("text"),
    "run_dir": Rule("text", null=True),
    "budget.images": integer(1, null=True),
    "budget.epochs": Rule("number", above=0, null=True),
    "budget.minutes": Rule("number", above=0, null=True),
    "checkpoint.every_images": integer(1, null=True),
    "checkpoint.every_minutes": Rule("number", above=0, null=True),
    "ema.half_life": Rule("schedule", low=0),
    "ema.ramp": Rule("number", above=0, high=1),
    "log_every_steps": integer(1),
    "health.on_divergence": one_of("stop", "rollback"),
    "sweep.resume": Rule("text", null=True),
    "sweep.seeds": integer(1, null=True),
    "sweep.fail_fast": Rule("flag"),
    "hydra.launcher.n_jobs": Rule("integer", low=1, choices=("-1",)),
    "hydra.sweeper.n_trials": integer(1),
    "hydra.sweeper.n_jobs": integer(1),
    "hydra.sweeper.sampler": one_of("tpe", "random"),
    "hydra.sweeper.seed": integer(0, LARGEST_SEED),
    "hydra.sweeper.prune": Rule("flag"),
    # trainer
    "trainer.accelerator": one_of("auto", "cpu", "gpu"),
    "trainer.devices": Rule("integer", low=1, choices=("auto",)),
    "trainer.num_nodes": integer(1),
    "trainer.strategy": Rule("text"),
    # not 16-mixed: it needs a gradient scaler, which checkpoints do not hold
    "trainer.precision": one_of("auto", "32-true", "bf16-mixed"),
    "trainer.memory_format": one_of("auto", "channels_last", "contiguous"),
    "trainer.fused": Rule("flag", choices=("auto",)),
    "trainer.deterministic": Rule("flag"),
    "trainer.threads": integer(1, MOST_THREADS, null=True),
    # launch
    "launch.rdzv_endpoint": Rule("text", null=True),
    "launch.node_rank": integer(0),
    "launch.max_restarts": integer(0),
    # data
    "data.image_size": Rule("size", low=SIDES[0], high=SIDES[1], everywhere=True),
    "data.channels": Rule("text", choices=("1", "3"), everywhere=True),
    "data.batch_size": integer(1, everywhere=True),
    "data.root": Rule("text", null=True),
    "data.num_frames": integer(2, 100_000),
    "data.stills": Rule("pair", low=1, high=3),
    "data.still_scale": Rule("number", above=0, high=1),
    "data.speed": Rule("two", above=0),
    "data.val_fraction": Rule("number", above=0, high=0.5),
    "data.test_fraction": Rule("number", above=0, high=0.5),
    "data.flip": Rule("flag"),
    "data.workers": integer(0, 1000, null=True),
    "data.fit": one_of("crop", "pad", "stretch"),
    "data.variant": one_of("balanced", "letters", "digits", "mnist", "bymerge", "byclass"),
    "data.background": Rule("any"),  # a colour; the data set parses it
    "data.cache": Rule("any"),  # true, false or a folder
    "data.minutes": Rule("number", above=0, everywhere=True),
    # model
    "model.lr": Rule("number", above=0, everywhere=True),
    "model.*_lr": Rule("number", above=0),
    "model.latent_dim": integer(1, MOST_CHANNELS, everywhere=True),
    "model.width": integer(1, MOST_CHANNELS, everywhere=True),
    "model.max_width": integer(1, MOST_CHANNELS),
    "model.lr_schedule": registered("models.schedules", "LR_SCHEDULES"),
    "model.lr_warmup": Rule("number", low=0, high=1),
    "model.final_lr": Rule("number", low=0, high=1),
    "model.beta2": Rule("schedule", low=0, high=0.9999, null=True),
    "model.n_critic": integer(1),
    "model.gamma": Rule("schedule", low=0, choices=("auto",)),
    "model.gradient_penalty": Rule("number", low=0),
    "model.centring": Rule("number", low=0),
    "model.penalty": registered("models.gan", "PENALTIES"),
    "model.penalty_every": integer(1),
    "model.penalty_directions": integer(1),
    "model.penalty_step": Rule("number", above=0),
    "model.penalty_share": Rule("number", above=0, high=1),
    "model.conditional": Rule("flag", everywhere=True),
    "model.objective": registered(
        "models.objectives.adversarial", "OBJECTIVES", hint="for a user-defined loss see docs/extending.md"
    ),
    "model.output": registered("models.gan", "OUTPUTS"),
    "model.batch_statistics": Rule("flag"),
    "model.likelihood": registered("models.objectives.likelihoods", "LIKELIHOODS"),
    "model.augmentation": Rule(
        "names", choices=("auto", "ada"), registry=("genimg.models.networks.augmentation", "OPERATIONS")
    ),
    "model.augmentation_p": Rule("schedule", low=0, high=1, choices=("adaptive",)),
    "model.augmentation_ramp": Rule("number", above=0),
    "model.prior": registered("models.vae", "PRIORS"),
    "model.beta": Rule("number", low=0),
    "model.kl_warmup": Rule("number", low=0, high=1),
    "model.components": integer(1, MOST_CHANNELS),
    "model.hidden": integer(1, MOST_CHANNELS),
    "model.blocks": integer(1, 1000),
    "model.group_width": integer(1, MOST_CHANNELS),
    "model.smallest": integer(1, 7),
    "model.attention": integer(1, SIDES[1], null=True),
    "model.spectral_generator": Rule("flag"),
    "model.mapping_layers": integer(1, 100),
    "model.style_mixing": Rule("number", low=0, high=1),
    "model.path_length": Rule("number", low=0),
    "model.path_length_every": integer(1),
    "model.path_length_share": Rule("number", above=0, high=1),
    "model.group_size": integer(1),
    "model.recurrent": registered("models.networks.recurrent", "CORES"),
    "model.features": integer(1, MOST_CHANNELS),
    "model.layers": integer(1, 1000),
    "model.first_sigma": Rule("number", above=0),
    "model.least_sigma": Rule("number", above=0),
    "model.grad_clip": Rule("number", above=0),
    "model.futures": integer(1),
    # callbacks: a key means the same in each
    "callbacks.*.times": integer(1),
    "callbacks.frechet_random.num_images": integer(2),  # a covariance needs two
    "callbacks.*.num_images": integer(1),
    "callbacks.samples.num_images": integer(1, 10_000),  # images on one sheet
    "callbacks.*.num_clips": integer(1, 1000),
    "callbacks.*.every_*": Rule("number", above=0),
    # sample
    "run": Rule("text"),
    "checkpoint": one_of("best", "last"),
    "num_images": integer(1),
    "seeds": Rule("seeds", null=True),
    "classes": Rule("list", null=True),
    "truncation": Rule("number", above=0, null=True),
    "truncation_psi": Rule("number", low=0, null=True),
    "temperature": Rule("number", low=0),
    "rows": integer(1, null=True),
    "columns": integer(1, null=True),
    "interpolate": integer(1, null=True),
    "directions": Rule("mapping", null=True),
    "directions.*": Rule("number"),
    "select": Rule("number", low=0.01, high=1, null=True),
    "sliders": Rule("list", null=True),
    "mix_seeds": Rule("seeds", null=True),
    "mix_layer": integer(1, null=True),
    "reconstruct": Rule("paths", null=True),
    "start": Rule("paths", null=True),
    "num_frames": integer(2, null=True),
    "futures": integer(1),
    "fps": Rule("number", low=1, high=50),
    "frames": Rule("flag"),
    "individual": Rule("flag"),
    "device": Rule("text"),
    "out": Rule("text", null=True),
    "trust": Rule("list"),
    # export
    "format": registered("sampling.export.formats", "FORMATS"),
    # compare, rate
    "runs": Rule("paths", null=True),
    "results": Rule("paths", null=True),
    "study": Rule("text", null=True),
    "trials": integer(2),
    "repeats": Rule("number", low=0, high=0.5),
    "exposure": Rule("number", low=0.25, high=5, null=True),
    # evaluate
    "features": Rule("text"),  # a registered extractor or a class: see cross_checks.check_features
    "weights": Rule("text", null=True),
    "importance_samples": integer(1),
    "root": Rule("text", null=True),
    "cache": Rule("any"),  # true, false or a folder
}


@cache
def rule_for(key: str) -> Rule | None:
    """The rule of a dotted key: its own, else the rule of the first pattern that it matches, with its choices."""
    rule = RULES.get(key) or next((rule for name, rule in RULES.items() if fnmatchcase(key, name)), None)
    if rule is None or rule.registry is None:
        return rule
    known = registry(*rule.registry)
    return rule._replace(names=known) if rule.kind == "names" else rule._replace(choices=known)


def takes_names(key: str) -> bool:
    """Whether the value of a key is a mapping of names that the user chooses."""
    rule = rule_for(key)
    return rule is not None and rule.kind == "mapping"
