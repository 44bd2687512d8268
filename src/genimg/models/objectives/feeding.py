"""Which frames of a training clip a predictor reads: the true ones, or its own predictions of them.

Each function gives the probability that input frame t is the true one, for t = 0 to T - 2. Those of a given frame and
of a frame that is to be predicted differ; the first frame is always true. In sampling, given frames are true and the
others are predictions, which all end with. Functions of progress continue in a resumed run.
"""

from collections.abc import Callable

from genimg.models.schedules import risen

UNTIL = 0.5  # share of the run after which inputs are those of sampling


def predicted(length: int, given: int, progress: float) -> list[float]:
    """As in sampling throughout."""
    return _chances(length, given, 1.0, 0.0)


def scheduled(length: int, given: int, progress: float) -> list[float]:
    """True frames at first, predictions later: scheduled sampling (Bengio et al. 2015, section 2.4, linear decay)."""
    return _chances(length, given, 1.0, 1 - risen(progress, UNTIL))


def reverse(length: int, given: int, progress: float) -> list[float]:
    """Given frames are left out as well at first, so that the network has to remember those before.

    Reverse scheduled sampling (Wang et al. 2022, PredRNN-V2, section 3.4), here with linear schedules: the probability
    of a given frame rises from 0.5 to 1, that of a later frame falls from 0.5 to 0.
    """
    done = risen(progress, UNTIL)
    return _chances(length, given, 0.5 + 0.5 * done, 0.5 - 0.5 * done)


def _chances(length: int, given: int, of_given: float, of_later: float) -> list[float]:
    return [1.0] + [of_given if time < given else of_later for time in range(1, length - 1)]


#: Every schedule by the name that `model.feeding` takes.
FEEDINGS: dict[str, Callable[[int, int, float], list[float]]] = {
    "predicted": predicted,
    "scheduled": scheduled,
    "reverse": reverse,
}
