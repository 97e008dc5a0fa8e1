"""The unit in which text states information: nats, or bits where they are asked for.

Attributes, tables and files are always in nats. Text converts numbers and names the unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from nif.core.arguments import known_name


@dataclass(frozen=True)
class Unit:
    """A unit of information.

    Attributes:
        name: Of many.
        nats: The size of one.
    """

    name: str
    nats: float

    def of(self, nats: Any) -> Any:
        """A number or array of nats in this unit.

        Example:
            >>> UNITS["bits"].of(math.log(8))
            3.0
        """
        return nats if self.nats == 1 else nats / self.nats


UNITS = {"nats": Unit("nats", 1.0), "bits": Unit("bits", math.log(2))}

_SHOWN = ContextVar("unit", default=UNITS["nats"])


def text_unit() -> Unit:
    """The unit of text that is made now."""
    return _SHOWN.get()


@contextmanager
def shown_in(name: str) -> Iterator[None]:
    """Text that is made inside states information in this unit.

    Args:
        name: ``"nats"`` or ``"bits"``.

    Raises:
        InputError: There is no such unit.

    Example:
        >>> with shown_in("bits"):
        ...     text_unit().name
        'bits'
    """
    token = _SHOWN.set(UNITS[known_name("unit", name, UNITS)])
    try:
        yield
    finally:
        _SHOWN.reset(token)
