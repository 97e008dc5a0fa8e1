"""Functions that worker processes run: they import them from here, wherever they were started."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nif.core import shared as module
from nif.core.executors import unless_stopped
from nif.core.shared import Shared

if TYPE_CHECKING:  # workers start without it
    import torch


def square_or_die(number: int, deaths: Path, times: int) -> int:
    """The square; at 3 the process is killed, so many times."""
    if number == 3:
        died = len(list(deaths.iterdir()))
        if died < times:
            (deaths / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def run_until_stopped(begun: Path, ended: Path) -> None:
    """Two minutes in steps; files say that it runs, and that it was ended before."""
    begun.touch()
    try:
        for _ in range(1200):
            time.sleep(0.1)
            unless_stopped(1.0)
    except BaseException:
        ended.touch()
        raise


def sum_and_file(shared: Shared[tuple[np.ndarray, torch.Tensor]], number: int) -> tuple[float, str | None]:
    """The sum of both arrays and the number, and the file that the first is mapped from."""
    array, tensor = shared.value
    return float(array.sum() + tensor.sum()) + number, getattr(array, "filename", None)


def sum_or_die(
    shared: Shared[tuple[np.ndarray]], number: int, deaths: Path, deadly: tuple[int, ...]
) -> float:
    """The sum of the array and the number; at each deadly one the process is killed, once."""
    if number in deadly and not (deaths / str(number)).exists():
        (deaths / str(number)).touch()
        assert shared._token not in module._made, "this is the process that made it"
        os.kill(os.getpid(), signal.SIGKILL)
    return float(shared.value[0].sum()) + number


def is_writable(values: np.ndarray) -> bool:
    """As a task."""
    return bool(values.flags.writeable)
