"""genimg: train image generators (GAN, VAE, RNN) with one command, and sample them from Python.

>>> import genimg
>>> images = genimg.load("last").sample(16, seed=0)  # (16, C, H, W), values in [-1, 1]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genimg.sampling.load import load as load

__version__ = "0.5.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports `load`, and with it torch, on first use: the command must start without torch."""
    if name == "load":
        from genimg.sampling.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
