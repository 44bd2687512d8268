"""Actions given by the user: which ones lead to the frames of a sequence."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.inputs import ClassName, numbers_of
from genimg.sampling.trained import TrainedModel

Actions = ClassName | Sequence[ClassName] | Tensor


def sequence_length(trained: TrainedModel, num_frames: int | None, actions: Actions | None) -> int:
    """The frames of each sequence: `num_frames`, else the given frames and one for each action, else as in training.

    Raises:
        UserError: if the sequence ends before the last action.
    """
    if actions is None:
        return cast(int, trained.num_frames) if num_frames is None else num_frames
    shortest = trained.model.given_frames + _count(actions)
    if num_frames is not None and num_frames < shortest:
        expected = f"{shortest} or more: each of the {_count(actions)} actions leads to a frame"
        raise UserError("num_frames", num_frames, expected, "null = one frame for each action")
    return shortest if num_frames is None else num_frames


def read_actions(trained: TrainedModel, actions: Actions | None, count: int, length: int) -> Tensor | None:
    """The numbers of the actions that lead to the predicted frames, int64 (count, length - k); None if none are given.

    One row (1, length - k) has those of all sequences. The last action is repeated up to the end.

    Args:
        actions: names or numbers, the same for all sequences, or numbers int64 (count, M), a row for each.
        count: sequences, without their futures.
        length: frames of a sequence.

    Raises:
        UserError: if the model takes no actions, or there is no such action.
    """
    if actions is None:
        return None
    if not trained.actions:
        hint = "model=rnn learns the actions of clips with actions.csv"
        got = "a tensor" if isinstance(actions, Tensor) else actions
        raise UserError("actions", got, "not set; this model takes no actions", hint)
    if not _count(actions):
        raise UserError("actions", "[]", "at least one action, or null for random ones")
    if isinstance(actions, Tensor):
        numbers = _checked(actions, count, len(trained.actions))
    else:
        numbers = torch.tensor(numbers_of(actions, trained.actions, "actions")).unsqueeze(0)
    position = torch.arange(length - trained.model.given_frames).clamp_max(numbers.shape[1] - 1)
    return numbers[:, position]


def _checked(actions: Tensor, count: int, known: int) -> Tensor:
    fits = actions.ndim == 2 and len(actions) == count and actions.dtype == torch.int64
    if not fits or not ((actions >= 0) & (actions < known)).all():
        expected = f"int64 ({count}, M) with values from 0 to {known - 1}, or a list of names"
        raise UserError("actions", f"{actions.dtype} {tuple(actions.shape)}", expected)
    return actions.cpu()


def _count(actions: Actions) -> int:
    """The number of actions of one sequence."""
    if isinstance(actions, Tensor):
        return actions.shape[-1] if actions.ndim else 1
    return 1 if isinstance(actions, str | int) else len(actions)
