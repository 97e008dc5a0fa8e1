"""Libraries that are not ours: an error that names the extra, and their warnings and random draws kept in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nif.contracts import InputError
from nif.recording.untouched import same_random_state


@contextmanager
def needs_extra(library: str) -> Iterator[None]:
    """Import an optional library inside: a missing one becomes an error, its warnings are not the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise InputError(
                f"Comparing with {library} needs a library that can not be imported ({error}); "
                "install it with: pip install 'neural-information-flow[compare]'."
            ) from error


@contextmanager
def kept_in() -> Iterator[None]:
    """Run a library that draws from the global generators: their states are put back.

    Its warnings concern no one who did not write it, and are dropped.
    """
    with same_random_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
