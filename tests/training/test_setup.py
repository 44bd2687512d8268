"""The parts of a run that depend on its settings."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from genimg.common.errors import UserError
from genimg.distributed.data_parallel import AveragedGradients
from genimg.training.machine import configure
from genimg.training.setup import automatic, choose_strategy
from tests.training.test_machine import AUTO

ONE = configure(AUTO, bf16=False)
TWO = replace(ONE, devices=2)


def test_auto_and_ddp_are_data_parallel_and_other_names_are_lightnings() -> None:
    assert choose_strategy(ONE) == "auto"
    for name in ("auto", "ddp"):
        assert isinstance(choose_strategy(replace(TWO, strategy=name)), AveragedGradients)
    assert choose_strategy(replace(TWO, strategy="fsdp")) == "fsdp"


def test_a_strategy_that_starts_processes_is_refused() -> None:
    with pytest.raises(UserError, match="ddp_spawn"):
        choose_strategy(replace(TWO, strategy="ddp_spawn"))


@pytest.mark.parametrize("machine", [ONE, TWO])
def test_an_unknown_strategy_is_an_error_with_the_nearest_name(machine: object) -> None:
    with pytest.raises(UserError, match="did you mean fsdp"):
        choose_strategy(replace(machine, strategy="fspd"))  # pyright: ignore


def test_gamma_grows_with_the_pixels_and_few_images_are_augmented() -> None:
    """R1 and R2 sum over pixels; a discriminator soon memorises few images."""
    small = automatic(SimpleNamespace(image_shape=(1, 32, 32), num_items=60_000, actions=()), ONE)  # pyright: ignore
    large = automatic(SimpleNamespace(image_shape=(3, 64, 64), num_items=500, actions=()), ONE)  # pyright: ignore
    assert large["gamma"] == [2.0, 1.0] == [4 * gamma for gamma in small["gamma"]]
    assert (small["policy"], large["policy"]) == ([], ["translation"])
