"""What NIF finds in a model, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nif.recording.arguments import Arguments, Caller
from nif.recording.graph import graph_of
from nif.recording.plan import plan_of
from nif.recording.rows import rows
from nif.recording.sklearn_models import as_torch
from nif.recording.untouched import runnable, untouched
from nif.recording.wrappers import unwrapped


def layers(
    model: Any, example: Any, *, layers: Sequence[str] | None = None, output: int | str | None = None
) -> pd.DataFrame:
    """The layers of a model that are measured, and which feeds which.

    Args:
        model: As for `record`.
        example: One row of inputs, or more.
        layers: Names of the modules to measure; all non-linearities if None.
        output: Which output is meant, of a model that returns several.

    Returns:
        One row a layer, in order of execution: ``name``; ``kind``, the class of the module or the name of the
        function; ``units``; ``shape`` of the activation without the sample; ``feeds``, the layers it feeds.

    Raises:
        InputError: The model can not be run on the example, or a name does not exist.

    Example:
        >>> from torch import nn, zeros
        >>> layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), zeros(1, 2))
             name    kind  units shape     feeds
        0   input   input      2  (2,)      (1,)
        1       1    ReLU      3  (3,) (output,)
        2  output  Linear      1  (1,)        ()
    """
    network = as_torch(unwrapped(model))
    runnable(network)
    found = rows(example, arguments=Arguments.of(network))
    with untouched(network):
        graph = graph_of(Caller(network, found.names, output), found.every)
    plan = plan_of(graph, layers)
    names = [place.name for place in plan.places]
    feeds = [tuple(names[t] for s, t in plan.connections if s == index) for index in range(len(names))]
    units = [values[0].numel() for values in found.every]
    units += [place.axes.units for place in plan.places[plan.inputs :]]
    return pd.DataFrame(
        {
            "name": names,
            "kind": [place.kind for place in plan.places],
            "units": units,
            "shape": [place.shape for place in plan.places],
            "feeds": feeds,
        }
    )
