"""What a saved pruning tells without its network: units and costs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from nif.contracts import InputError
from nif.pruning.size import Size

if TYPE_CHECKING:
    from nif.pruning.pruned import Pruned

KEY = "told"
"""In the header of the file."""

REMOVED, PUT_BACK = ["layer", "unit", "index", "how"], ["layer", "unit", "index", "reason"]


@dataclass(frozen=True, eq=False)
class Told:
    """What `nif.Pruned` says, read from its file; the attributes are those of `nif.Pruned`."""

    removed: pd.DataFrame
    put_back: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...]


def as_text(pruned: Pruned) -> str:
    """The header entry that `read_told` reads."""
    return json.dumps(
        {
            "removed": pruned.removed[REMOVED].to_numpy().tolist(),
            "put_back": pruned.put_back[PUT_BACK].to_numpy().tolist(),
            "score": [pruned.score, float(pruned.score_before), float(pruned.score_after)],
            "sizes": [asdict(pruned.size_before), asdict(pruned.size_after)],
            "notes": pruned.notes,
        }
    )


def read_told(path: str | os.PathLike[str]) -> Told:
    """Read what a file of `Pruned.save` tells: units, scores, sizes. The weights stay where they are.

    Raises:
        InputError: The file can not be read, or no pruning is told of in it.

    Example:
        >>> read_told("nowhere.safetensors")
        Traceback (most recent call last):
        nif.contracts.InputError: nowhere.safetensors can not be read (No such file or directory: ...
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{Path(path)} can not be read ({error}); expected a file that Pruned.save wrote."
        ) from error
    if KEY not in header:
        raise InputError(
            f"{Path(path)} does not say what was pruned; expected a file that Pruned.save of this nif wrote."
        )
    try:
        return _told(json.loads(header[KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(path)} does not tell the whole of what was pruned ({error}); prune the network again."
        ) from error


def _told(found: Mapping[str, Any]) -> Told:
    score, before, after = found["score"]
    return Told(
        removed=pd.DataFrame(found["removed"], columns=REMOVED),
        put_back=pd.DataFrame(found["put_back"], columns=PUT_BACK),
        score_before=before,
        score_after=after,
        score=score,
        size_before=Size(**found["sizes"][0]),
        size_after=Size(**found["sizes"][1]),
        notes=tuple(found["notes"]),
    )
