"""NIF, Neural Information Flow: how much information flows between the neurons of a trained network.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used (SPEC 1), so that
``import nif`` takes no longer than a command needs to print its help.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

_imported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, which is imported now; or the line to write in place of one that does not exist."""
    try:
        return _imported(name)
    except AttributeError:
        from nif.core.guesses import no_package_attribute

        no_package_attribute(name, __all__)


class _Room(ModuleType):
    """A module whose name is taken for that of a function, such as `nif.report(flow)`."""

    def __call__(self, *_: Any, **__: Any) -> None:
        from nif.core.guesses import no_function

        no_function(self.__name__)


class _Package(ModuleType):
    """Answers calls of its modules, which become attributes once something imports them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) is ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
