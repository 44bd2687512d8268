"""genimg: train image generators (GAN, VAE, RNN) with one command or from Python.

>>> import genimg
>>> run = genimg.train("model=vae", "data=digits", budget_images=2000)
>>> images = genimg.load("last").sample(16, seed=0)  # (16, C, H, W), values in [-1, 1]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genimg.api.command import RunFailed as RunFailed
    from genimg.api.run import Run as Run
    from genimg.api.train import train as train
    from genimg.common.errors import UserError as UserError
    from genimg.sampling.images.files import to_pil as to_pil
    from genimg.sampling.load import load as load

__version__ = "0.5.0"
__all__ = ["Run", "RunFailed", "UserError", "__version__", "load", "to_pil", "train"]

_MODULES = {
    "Run": "genimg.api.run",
    "RunFailed": "genimg.api.command",
    "UserError": "genimg.common.errors",
    "load": "genimg.sampling.load",
    "to_pil": "genimg.sampling.images.files",
    "train": "genimg.api.train",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Imports a name, and with it torch, on first use: the command must start without torch."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
