"""What the source declares is what the imported class or registry has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from types import ModuleType

import pytest

from genimg.common.declared import class_attribute, registry
from genimg.models import vae
from genimg.models.code_rnn import CodeRNN
from genimg.models.draw import DRAW
from genimg.models.frame_predictor import FramePredictor
from genimg.models.gan import GAN
from genimg.models.objectives import adversarial, likelihoods
from genimg.models.objectives.adversarial import OBJECTIVES
from genimg.models.objectives.likelihoods import LIKELIHOODS
from genimg.models.pixel_rnn import PixelRNN
from genimg.models.rnn import RNN
from genimg.models.vae import VAE


@pytest.mark.parametrize("model", [GAN, VAE, RNN, FramePredictor, PixelRNN, CodeRNN, DRAW])
@pytest.mark.parametrize("name", ["produces", "network_nodes"])
def test_a_class_attribute_is_the_imported_one(model: type, name: str) -> None:
    assert class_attribute(f"{model.__module__}.{model.__name__}", name) == getattr(model, name)


def test_an_attribute_that_nothing_sets_is_none() -> None:
    assert class_attribute("genimg.models.gan.GAN", "no_such_attribute") is None


@pytest.mark.parametrize(
    ("module", "name", "imported"),
    [(adversarial, "OBJECTIVES", OBJECTIVES), (likelihoods, "LIKELIHOODS", LIKELIHOODS), (vae, "PRIORS", vae.PRIORS)],
)
def test_the_names_of_a_registry_are_the_imported_ones(module: ModuleType, name: str, imported: Iterable[str]) -> None:
    assert registry(module.__name__, name) == tuple(imported)


@pytest.mark.parametrize("target", ["genimg.models.gan.Missing", "genimg.models.missing.GAN"])
def test_a_missing_class_is_an_error(target: str) -> None:
    with pytest.raises(LookupError):
        class_attribute(target, "produces")


def test_reading_imports_no_torch() -> None:
    program = (
        "import sys; from genimg.common.declared import class_attribute; "
        "assert class_attribute('genimg.models.rnn.RNN', 'produces') == 'sequences'; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
