"""The states of callbacks of other packages, which a checkpoint holds if they are plain."""

import logging
from copy import deepcopy
from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor

from genimg.common.errors import UserError, first_line
from genimg.training.lightning_api import others

log = logging.getLogger(__name__)

States = dict[str, dict[str, Any]]  # by `state_key`


def states(trainer: Trainer) -> States:
    """What `Callback.state_dict` of each returns. A state with objects of other types is left out, with a warning."""
    found = {one.state_key: one.state_dict() for one in others(trainer)}
    for name in [name for name, state in found.items() if not is_plain(state)]:
        log.warning("the state of %s is not saved: it has other types than numbers, texts and tensors", name)
        del found[name]
    return {name: state for name, state in found.items() if state}


def restore(trainer: Trainer, saved: States) -> None:
    """Gives each callback its state. Raises UserError for a state that it does not accept."""
    for callback in others(trainer):
        if (state := saved.get(callback.state_key)) is not None:
            try:
                callback.load_state_dict(deepcopy(state))
            except Exception as error:  # of any type: the state is from a file, the callback from another package
                expected = f"a state that {callback.state_key} accepts: {first_line(error)}"
                raise UserError("resume", "the state of a callback", expected) from error


def is_plain(value: object) -> bool:
    """Whether `torch.load(weights_only=True)` reads the value."""
    if isinstance(value, dict):
        return all(isinstance(name, str | int | float) and is_plain(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, Tensor)
