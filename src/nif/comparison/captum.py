r"""Currents as an attribution method of captum: why the network decides as it does for single rows.

.. math:: A_k(x) = \int \frac{\partial v}{\partial h_k} \, dh_k, \qquad
    \sum_k A_k(x) = v(x) - v(\text{backgrounds})

with v the information about the decision at x, see `nif.Currents`. The attribution of a class is that of its
own term of v, :math:`p(y \mid x) \log \sum_b w_b \, p(y \mid z_b)`; those of all classes add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nif.core.errors import InputError, optional_import
from nif.core.types import CurrentTables
from nif.data.signature import Signature
from nif.flow.flow import Flow
from nif.measures.currents.currents import Currents
from nif.pipeline import measure

with optional_import("InformationFlow", "compare"):
    from captum.attr import Attribution


class InformationFlow(Attribution):
    """Attribution of single rows by currents, for captum.

    It is that of ``nif.measure(model, background, method, explain=inputs)``, in the shape of the inputs. A
    row's attributions sum to the information that it gives about the decision; negative ones speak against
    it. Where the background has more rows than the method takes of it (32), they are drawn for each call, so
    that the attribution of a row depends a little on the other rows of the call.

    Args:
        model: A network.
        background: Rows that stand for what is not known of a row, in any form that `nif.measure` takes data
            in, on the scale that the model was trained on; such as its training data. Of a regressor they
            also say how large the noise of a value is.
        method: Options of the currents.
        output: The output to measure (name or index), of a model that returns several.
        seed: Of the draw of backgrounds.

    Raises:
        InputError: The method is another than currents.

    References:
        Captum (Kokhlikyan et al., 2020), https://arxiv.org/abs/2009.07896. Of currents, see `nif.Currents`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> x = torch.randn(20, 3)
        >>> local = InformationFlow(net, x, Currents(backgrounds=20))
        >>> local.attribute(x[:5], target=1).shape
        torch.Size([5, 3])
        >>> whole = sum(local.attribute(x[:5], target=target) for target in (0, 1))
        >>> torch.allclose(whole, local.attribute(x[:5]), atol=1e-6)
        True
    """

    def __init__(
        self,
        model: nn.Module,
        background: Any,
        method: Currents | None = None,
        *,
        output: int | str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        chosen = Currents() if method is None else method
        if not isinstance(chosen, Currents):
            raise InputError(
                f"method is {method!r}; expected nif.Currents(), as association is of whole data sets."
            )
        self._background, self._method = background, chosen
        self._options: dict[str, Any] = {"output": output, "seed": seed, "progress": False}

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: int | Sequence[int] | Tensor | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribution of each input in each row.

        Args:
            inputs: Rows; a tuple for a model with several inputs.
            target: Index of the class (or of the answer or value of a model with several) whose term is
                attributed, or one for each row; None for all together. Of one sigmoid, 0 is no and 1 is yes.
            return_convergence_delta: Whether to return what attributions miss of each row, too.

        Returns:
            Of the shape of the inputs, in nats; inputs that are a row's own, such as masks, have 0. With
            `return_convergence_delta` also, of each row, the sum of its attributions less the information
            that it gives.

        Raises:
            InputError: The inputs do not fit the background, or there is no such class.
        """
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        classes = _classes(target, len(given[0]))
        by_class = False if classes is None else tuple(np.unique(classes).tolist())
        flow = measure(
            self.forward_func,
            self._background,
            replace(self._method, by_class=by_class),
            explain=given if len(given) > 1 else given[0],
            **self._options,
        )
        assert flow.currents is not None
        attributions, gained = _of_rows(flow, flow.currents, classes)
        shaped = self._as_inputs(flow, attributions, given)
        result = shaped if isinstance(inputs, tuple) else shaped[0]
        if not return_convergence_delta:
            return result
        return result, torch.from_numpy(attributions.sum(1) - gained).to(shaped[0])

    def has_convergence_delta(self) -> bool:
        """Whether `attribute` knows what attributions miss."""
        return True

    def _as_inputs(
        self, flow: Flow, attributions: Float[np.ndarray, "row feature"], inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """In the shapes of the inputs; those that are a row's own have 0."""
        names = Signature.of(self.forward_func).names[: len(inputs)] if len(inputs) > 1 else ("",)
        own = [name in flow.measurement.options["held"] for name in names]
        ends = np.cumsum([0 if still else x[0].numel() for x, still in zip(inputs, own, strict=True)])
        parts = np.split(attributions, ends[:-1], axis=1)
        return tuple(
            (torch.zeros(x.shape) if still else torch.from_numpy(part).reshape(x.shape)).to(
                x.device, x.dtype if x.is_floating_point() else torch.get_default_dtype()
            )
            for x, part, still in zip(inputs, parts, own, strict=True)
        )


def _classes(target: int | Sequence[int] | Tensor | None, rows: int) -> Int64[np.ndarray, " row"] | None:
    """The class of each row."""
    if target is None:
        return None
    given = torch.as_tensor(target).cpu().numpy().ravel()
    if given.dtype.kind not in "iu" or len(given) not in (1, rows):
        raise InputError(
            f"target is {target!r}; expected the index of a class, or one for each of the {rows} rows."
        )
    return np.broadcast_to(given, (rows,))


def _of_rows(
    flow: Flow, tables: CurrentTables, classes: Int64[np.ndarray, " row"] | None
) -> tuple[Float[np.ndarray, "row feature"], Float[np.ndarray, " row"]]:
    """Attributions, in the order of the rows, and the information that they add up to."""
    assert tables.rows is not None and tables.row_value is not None and tables.row_base is not None
    order, gained = np.argsort(tables.rows), tables.row_value - tables.row_base
    if classes is None or gained.shape[1] == 1:
        if classes is not None and classes.any():
            raise InputError(f"target is {classes.max()} and the model decides one value; pass 0 or None.")
        return np.array(flow.local(), dtype=np.float64), gained[order].sum(1)
    if tables.row_attribution is None:
        raise InputError(
            f"{len(order)} rows of {len(flow.local().columns)} features are too many to attribute by class "
            "at a time; pass fewer rows, or target=None."
        )
    place = np.unique(classes, return_inverse=True)[1]
    every = np.arange(len(order))
    return tables.row_attribution[order][every, :, place].astype(np.float64), gained[order][every, place]
