"""A watch as a callback of Lightning or skorch; each library is imported when its callback is made."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nif.contracts import InputError

if TYPE_CHECKING:
    from nif.watch.training import Watch


def lightning_callback(watch: Watch) -> Any:
    """Measures after every training epoch that is due, in the first process only."""

    class Measure(_lightning()):  # type: ignore[misc] # a base class that is found when it is needed
        """Tells a watch of the end of every training epoch."""

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            """Hook of Lightning."""
            if trainer.is_global_zero:
                watch.step(trainer.current_epoch, pl_module if watch.model is None else watch.model)

    return Measure()


def _lightning() -> Any:
    """`Callback` of the package that the program uses: both names of Lightning are alive."""
    older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
    try:
        return import_module("pytorch_lightning" if older else "lightning.pytorch").Callback
    except ImportError as error:
        raise InputError(
            "watch.lightning() needs Lightning; install it with pip install lightning."
        ) from error


def skorch_callback(watch: Watch) -> Any:
    """Measures after every epoch that is due; epochs are counted from 1, as in skorch's own table."""
    try:
        from skorch.callbacks import Callback
    except ImportError as error:
        raise InputError("watch.skorch() needs skorch; install it with pip install skorch.") from error

    class Measure(Callback):
        """Tells a watch of the end of every epoch."""

        def on_epoch_end(self, net: Any, **told: Any) -> None:
            """Hook of skorch."""
            watch.step(net.history[-1, "epoch"], net.module_ if watch.model is None else watch.model)

    return Measure()
