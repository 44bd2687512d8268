"""genimg: train image generators (GAN, VAE, RNN) from one command and sample them anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genimg.sampling.load import load as load

__version__ = "0.5.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`from genimg import load` imports torch when it is asked for: the command must not."""
    if name == "load":
        from genimg.sampling.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
