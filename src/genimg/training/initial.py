"""How a run begins: with weights of another run (`init_from=`) and with weights that are not trained (`freeze=`)."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

from torch import Tensor, nn

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError, nearest
from genimg.models.base import GenerativeModel
from genimg.sampling.load import checkpoint_file
from genimg.training.settings import EMASettings, TrainSettings

log = logging.getLogger(__name__)

NAMED = 4  # names of weights in a line of the log


def take_weights(settings: TrainSettings, model: GenerativeModel) -> dict[str, Tensor]:
    """Loads the weights of `init_from` that fit by name, shape and type. Returns those of the EMA that fit.

    The other weights keep their initial values. Nothing is built from the configuration of the other run. A resumed run
    takes nothing: it only records where it began.

    Raises:
        UserError: if the checkpoint cannot be read, no weight fits, or one that does is not finite.
    """
    if settings.init_from is None or settings.resume is not None:
        return {}
    file = checkpoint_file(settings.init_from, key="init_from")
    checkpoint = load_checkpoint(file, "init_from")
    own = _weights(model)
    averages = _fitting(checkpoint["ema"], own)
    taken = _fitting(checkpoint["model"], own) | (averages if settings.init_weights == "ema" else {})
    if not taken:
        hint = f"it has {_listed(checkpoint['model'])}; is it of another model/network, or of another width?"
        raise UserError("init_from", file, f"a checkpoint with weights of this model: {_listed(own)}", hint)
    damaged = {name for part in (taken, averages) for name, one in part.items() if not one.isfinite().all()}
    if damaged:
        expected = f"a checkpoint with finite weights, unlike {_listed(sorted(damaged))}"
        raise UserError("init_from", file, expected, "a run folder stands for its best checkpoint")
    model.load_state_dict(taken, strict=False)
    others = [name for name in own if name not in taken]
    rest = f"; not {_listed(others)}" if others else ""
    log.info("init      %s of %s at %s images%s", _share(taken, own), file, f"{checkpoint['images_seen']:,}", rest)
    return averages


def ema_settings(settings: TrainSettings) -> EMASettings:
    """The EMA's settings, without a ramp for a run that began with the weights of another.

    The ramp lets the average forget random weights; with it, the average of the other run would last four steps
    (StyleGAN2-ADA also disables it when it starts from another network).
    """
    return settings.ema if settings.init_from is None else replace(settings.ema, ramp=math.inf)


def freeze(model: GenerativeModel, patterns: Sequence[str]) -> None:
    """Excludes parameters from training. Buffers, such as the statistics of batch normalisation, still change.

    Args:
        patterns: names of parameters or modules, in which * stands for any text (`fnmatch`).

    Raises:
        UserError: for a pattern that matches no parameter, and if an optimizer has nothing left to train.
    """
    weights = dict(model.named_parameters())
    frozen = {name: weights[name] for pattern in patterns for name in _matching(pattern, weights)}
    if not frozen:
        return
    for weight in frozen.values():
        weight.requires_grad_(False)
    log.info("frozen    %s: %s", _share(frozen, weights), _listed(patterns))
    made: Any = model.configure_optimizers()
    for optimizer in made if isinstance(made, list | tuple) else [made]:
        if not any(weight.requires_grad for group in optimizer.param_groups for weight in group["params"]):
            expected = "a part of the parameters of each optimizer; nothing is left to train for one of them"
            raise UserError("freeze", f"[{','.join(patterns)}]", expected)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern matches, itself or as the name of a module."""
    found = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
    if not found:
        known = dict.fromkeys(part for name in names for part in accumulate(name.split("."), "{}.{}".format))
        meant = nearest(pattern, known)
        expected = "the name of a parameter or a module of the model, or a pattern with *"
        modules = _listed(one for one in known if "." not in one)
        raise UserError("freeze", pattern, expected, f"did you mean {meant}?" if meant else f"one of {modules}")
    return found


def _weights(model: GenerativeModel) -> dict[str, Tensor]:
    """The tensors that training determines: parameters, and buffers of the networks and of the EMA.

    Not the others, which belong to a run: an adaptive probability, start images.
    """
    inside = {id(one) for network in model.networks().values() for one in network.state_dict(keep_vars=True).values()}
    return {
        name: tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if isinstance(tensor, nn.Parameter) or id(tensor) in inside or name.startswith(model.ema_prefixes)
    }


def _fitting(given: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: one for name, one in given.items() if name in own and _kind(one) == _kind(own[name])}


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype


def _share(some: Mapping[str, Tensor], all_: Mapping[str, Tensor]) -> str:
    """For a line of the log: `90 of 92 tensors (98.1% of the weights)`."""
    taken, total = (sum(one.numel() for one in tensors.values()) for tensors in (some, all_))
    return f"{len(some)} of {len(all_)} tensors ({100 * taken / total:.1f}% of the weights)"


def _listed(names: Iterable[str]) -> str:
    """The first few names, and how many others there are."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
