"""A quicker import of Lightning, which takes most of the start of a process."""

import sys
from types import ModuleType


def import_lightning() -> None:
    """Imports Lightning without scipy.signal: a fifth of the processor time of the start.

    torchmetrics, which Lightning needs, imports it only to add a name that a package for audio expects. Metrics that
    use it import it again.
    """
    if "scipy.signal" in sys.modules:
        return
    placeholder = ModuleType("scipy.signal")
    placeholder.hamming = None  # pyright: ignore[reportAttributeAccessIssue]  # the name, which is not added again
    sys.modules[placeholder.__name__] = placeholder
    try:
        import pytorch_lightning  # noqa: F401
    finally:
        del sys.modules[placeholder.__name__]
