"""What was measured, for the title of a report: the class of the model, the name of the data, the score."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from nif.core.errors import InputError
from nif.data.rows import Rows
from nif.network.decision import Decision
from nif.network.forward import batches
from nif.network.labels import doubt_of, doubt_of_scale, labels_of, values_of_classes
from nif.network.network import Network
from nif.network.preserve import preserved

MOST_SCORED = 10_000
"""Rows that the score is computed of: the first."""

UNNAMED = ("torch", "numpy", "pandas", "builtins", "nif", "polars", "pyarrow")
"""Packages whose classes hold any data, so that their names say nothing of these."""


def described(network: Network, data: Any, rows: Rows) -> dict[str, Any]:
    """The class of the model, and where they are known the name of the data and the score on their labels.

    Args:
        network: The model.
        data: What the user passed.
        rows: The same as they were read; those that were drawn, of many.

    Returns:
        ``model``; ``data``, the class of a data set or ``attrs["name"]`` of a frame; ``score`` and ``value``,
        ``"accuracy"``, ``"accuracy of answers"`` or ``"R²"`` of ``scored`` rows. Labels that fit no output
        are warned of.

    Example:
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(model.weight)
        >>> x = torch.linspace(-1, 1, 60)[:, None]
        >>> described(Network.of(model), (x, x[:, 0]), Rows((x,), x[:, 0].numpy()))
        {'model': 'Linear', 'score': 'R²', 'value': 1.0, 'scored': 60}
    """
    model = network.module if network.model is None else network.model
    name = data_name(data)
    return {"model": type(model).__name__, **({"data": name} if name else {}), **_score(network, rows)}


def data_name(data: Any) -> str:
    """The name of a data set by its class, or of a frame by its attributes; empty if neither says it.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame()
        >>> frame.attrs["name"] = "iris"
        >>> data_name((frame, None)), data_name(torch.zeros(2))
        ('iris', '')
    """
    while isinstance(data, (DataLoader, Subset, tuple, list)):
        data = next(iter(data), None) if isinstance(data, (tuple, list)) else data.dataset
    named = getattr(data, "attrs", None)
    if isinstance(named, dict) and isinstance(named.get("name"), str):
        return str(named["name"])
    return "" if type(data).__module__.split(".")[0] in UNNAMED else type(data).__name__


def _score(network: Network, rows: Rows) -> dict[str, Any]:
    """On the labels that came with the data; empty where there are none, or none that fit."""
    if rows.labels is None:
        return {}
    inputs = tuple(values[:MOST_SCORED] for values in rows.inputs)
    call, labels = network.forward(rows), rows.labels[:MOST_SCORED]
    classes = values_of_classes(network.model, network.class_names, labels)
    try:
        with preserved(network.module), torch.no_grad():
            decision = Decision.of(call, inputs, network.model)
            parts = [call(piece) for piece in batches(call, inputs)]
            outputs = torch.cat([part.reshape(len(part), -1) for part in parts]).double().cpu()
        name, value = _of_labels(decision, outputs, labels, classes)
    except InputError as error:
        warnings.warn(f"No accuracy is stated. {error}", stacklevel=5)
        return {}
    return {"score": name, "value": value, "scored": len(labels)} if np.isfinite(value) else {}


def _of_labels(
    decision: Decision, outputs: Float[Tensor, "sample output"], labels: np.ndarray, classes: Any
) -> tuple[str, float]:
    """Accuracy of classes, or of the answers where each output is one; R² of numbers."""
    found = labels_of(decision, labels, len(outputs), classes)
    if found is not None:
        known, right = outputs[torch.from_numpy(found.known)], found.index[found.known]
        if found.several:
            one = replace(decision, outputs=1, exclusive=False)
            return "accuracy of answers", one.accuracy(
                known.reshape(-1, 1), torch.from_numpy(right).flatten()
            )
        decision = decision.of_classes(outputs)
        doubt = doubt_of(decision.classes(known).numpy(force=True), right, max(decision.outputs, 2))
        if doubt:
            warnings.warn(doubt, stacklevel=6)
        return "accuracy", decision.accuracy(known, torch.from_numpy(right))
    truth = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    if truth.shape != tuple(outputs.shape):
        raise InputError("The labels are neither one class a row nor one number for each output.")
    if doubt := doubt_of_scale(truth, outputs.numpy()):
        warnings.warn(doubt, stacklevel=6)
    spread = np.square(truth - truth.mean(axis=0)).sum()
    return "R²", float(1 - np.square(truth - outputs.numpy()).sum() / spread) if spread else float("nan")
