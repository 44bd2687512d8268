"""A quicker import of Lightning, which takes most of the start of a process."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# what Lightning imports to recognise compiled modules, and torchmetrics, which it needs, for metrics of other subjects
_LATER = (
    "torch._dynamo",
    "scipy.signal",
    "torchvision",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
)


def import_lightning() -> None:
    """Imports Lightning without torch's compiler, scipy.signal and torchvision: 2.4 s instead of 4.1 s of a processor.

    What needs a name of these modules imports it when it uses it. Training imports the compiler at its first step,
    because torch's optimizers do.
    """
    placeholders = {name: _Later(name) for name in _LATER if name not in sys.modules}
    sys.modules.update(placeholders)
    try:
        import pytorch_lightning  # noqa: F401
    finally:
        for name in placeholders:
            del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module: `from module import name` gives a name that imports the module at its first use."""

    @staticmethod
    def disable(function: Any, *_: Any, **__: Any) -> Any:
        """torch._dynamo's decorator of functions that are not compiled: here nothing is."""
        return function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


class _Name:
    """A function, class or module inside a module that is not imported yet."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _found(self) -> Any:
        return getattr(import_module(self._module), self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # typing asks for some of them
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __instancecheck__(self, instance: object) -> bool:
        module = sys.modules.get(self._module)  # without it there are no instances
        return module is not None and isinstance(instance, getattr(module, self._name))

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._found()(*arguments, **keywords)
