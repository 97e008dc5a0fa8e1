"""Currents: the information that flows through every link to the decision."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.core.errors import InputError
from nif.core.types import Advance
from nif.data.rows import Rows, read
from nif.estimators.pairs import Resources
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.information import Decided
from nif.measures.currents.links import measured_links
from nif.measures.currents.orders import PATHS, Orders
from nif.measures.currents.path_integral import (
    LARGEST_TAPE,
    MOST_PAIRS,
    Block,
    PathIntegral,
    Sums,
    blocks,
)
from nif.measures.currents.sample import Given, Sample
from nif.measures.measure import Measured
from nif.network.decision import Decision
from nif.network.forward import BATCH, Forward
from nif.network.layers import Place
from nif.network.network import Network
from nif.network.preserve import one_thread, preserved

DECISIONS = ("softmax", "probabilities", "bernoulli", "value", "labels")

POOL = 10_000
"""Rows of data that are read; of more, these are drawn at random."""

LARGEST_CHANGE = 0.01
"""Part of the total that the current of a unit may change by when the steps are doubled."""

MOST_STEPS = 64

PILOT_ROWS, PILOT_BACKGROUNDS = 32, 8
"""Pairs that the number of steps is chosen on."""

SMALL = 2**18
"""Numbers of the largest value of a block below which one thread is faster than several."""

MOST_COLUMNS = 20
"""Classes that have columns of their own."""


@dataclass(frozen=True)
class Currents:
    r"""The information that flows through every link to the decision of a network.

    The decision is a random variable: a class drawn from the probabilities of the network, or its output
    behind Gaussian noise. On the way z(t) from background rows to a row x, the information about it rises by

    .. math:: v(z) = \sum_y p(y \mid x) \log \sum_b w_b \, p(y \mid z_b)

    and the current through the link from unit k to unit l is :math:`E_x \int dv/da_l \, w_{kl} \, dh_k`. What
    flows into a unit flows out of it; the currents of every layer sum to the total, :math:`I(X; Y)`; a unit
    that the network does not use carries exactly 0. A negative current speaks against the decision.

    Currents are exact in the balance at any number of steps (discrete gradients), and near the integral by
    the choice of steps. They mislead where the straight way leads through inputs that do not exist; they are
    about the decision of the network, not the truth; and features whose effects cancel carry little each.

    Args:
        decision: What is decided. None: what the network computes last, see `nif.network.decision`.
            ``"softmax"``: the outputs are logits of one choice. ``"probabilities"``: they are its
            probabilities. ``"bernoulli"``: each is a yes-or-no answer. ``"value"``: each is a number, behind
            noise. ``"labels"``: the label that comes with a row; then the total may be negative. Or a
            function from outputs ``[sample, output]`` to log-probabilities ``[sample, class]``.
        backgrounds: Rows that stand for what is not known of each explained row.
        rows: Rows to explain; of more, half are drawn at random and half in proportion to their
            information.
        steps: Of the way from a background to a row; ``"auto"`` doubles them until no unit changes by more
            than 1 % of the total.
        noise: Standard deviation of the noise of a value, in deviations of that output.
        path: From a background to a row. ``"straight"``: all features at a time. ``"orders"``: one group of
            features after another, averaged over orders, for one-hot groups (with `input_groups`) and
            binary features; its cost grows with the number of groups. The currents of the groups are then
            their Shapley values of v.
        orders: Random orders of each row for ``path="orders"``; all orders are averaged where they are no
            more work, as of 4 groups with 8.
        by_class: Whether features are shown for each class too, which takes a walk back for each.
        background: Rows that the backgrounds are drawn from, in place of the data: a pool in any form that
            data may have, or backgrounds of each row of data, ``[row, background, ...]``, in its order. The
            total is then a mean divergence of decisions. `nif.measure` has the same argument.

    Raises:
        InputError: An option is out of range.

    References:
        Integrated gradients (Sundararajan et al., 2017), https://arxiv.org/abs/1703.01365; conductance
        (Dhamdhere et al., 2018), https://arxiv.org/abs/1805.12233

    Example:
        >>> Currents(noise=0.0)
        Traceback (most recent call last):
        nif.InputError: noise is 0.0; expected a number above 0, such as 0.2 (of the output's deviation).
    """

    decision: str | Callable[[Tensor], Tensor] | None = None
    backgrounds: int = 32
    rows: int = 512
    steps: int | str = "auto"
    noise: float = 0.2
    by_class: bool = True
    path: str = "straight"
    orders: int = 8
    background: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = self.decision is None or callable(self.decision) or self.decision in DECISIONS
        if not known:
            raise InputError(
                f"decision is {self.decision!r}; expected {', '.join(map(repr, DECISIONS))}, a function from "
                "outputs to log-probabilities, or None."
            )
        if self.path not in PATHS:
            raise InputError(f"path is {self.path!r}; expected {' or '.join(map(repr, PATHS))}.")
        for name in ("backgrounds", "rows", "orders"):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= 1):
                raise InputError(f"{name} is {value!r}; expected a whole number of 1 or more.")
        if self.steps != "auto" and not (isinstance(self.steps, Integral) and int(self.steps) >= 1):
            raise InputError(f"steps is {self.steps!r}; expected a whole number of 1 or more, or 'auto'.")
        if not (np.isfinite(self.noise) and self.noise > 0):
            raise InputError(
                f"noise is {self.noise}; expected a number above 0, such as 0.2 (of the output's deviation)."
            )

    @property
    def rows_read(self) -> int | None:
        """Number of rows to draw from data that have more; None where backgrounds come with them."""
        return POOL if self.background is None else None

    def work(self, network: Network, rows: Rows) -> float:
        """Pairs of a row and a background."""
        most = self.backgrounds if self.background is not None else max(1, len(rows) - 1)
        return float(min(self.rows, len(rows)) * min(self.backgrounds, most))

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        """Integrate the currents of every link; see `Measure`."""
        generator = np.random.default_rng(seed)
        plan, call = network.plan(rows), network.forward(rows)
        _check_positions(network, plan.places[-1])
        decision = Decision.of(call, rows.inputs, network.model)
        with preserved(network.module):
            inputs = tuple(call.prepared(rows.inputs))
            _check_floating(inputs)
            outputs = _outputs(call, plan.places[-1], inputs)
            decided = decided_by(decision, outputs, self.decision, self.noise, rows.labels)
            given = self._given(network, rows, lambda inputs: _outputs(call, plan.places[-1], inputs), call)
            sample = Sample.of(decided, outputs, self.rows, self.backgrounds, generator, given)
            path = PathIntegral(
                call,
                plan.places,
                inputs,
                decided,
                outputs,
                {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())},
                steps=1,
                by_class=self.by_class and 1 < max(decided.columns) + 1 <= MOST_COLUMNS,
                background_inputs=None if given is None else given.inputs,
                feature_groups=rows.groups,
                orders=None
                if self.path == "straight"
                else Orders.of(inputs, rows.groups, self.orders, generator),
            )
            most_pairs, small = _pairs_a_block(path, sample)
            with one_thread() if small else nullcontext():
                path, change = self._with_steps(path, sample, most_pairs)
                sums, scale = Sums(), 1.0 / path.runs
                for block in _blocks(sample, most_pairs):
                    path.add(block, sums, lambda pairs: advance(pairs * scale))
        _warn_of_general_rule(sums)
        options = {**self._options(decided, sample, given), "steps": path.steps, "step_error": change}
        options["path"] = "straight" if path.orders is None else path.orders.name
        return measured_links(network, rows, path, sample, sums, options)

    def _options(self, decided: Decided, sample: Sample, given: Given | None) -> dict[str, Any]:
        """What was chosen, to be stored with the flow."""
        return {
            "decision": decided.name,
            "total_is": _total_is(decided, given),
            "backgrounds": sample.backgrounds.index.shape[1],
            "explained": len(sample.rows),
            "noise": self.noise,
            "exact_total": sample.exact,
        }

    def _given(
        self, network: Network, rows: Rows, run: Callable[[tuple[Tensor, ...]], Tensor], call: Forward
    ) -> Given | None:
        """The background rows that the user passes."""
        if self.background is None:
            return None
        background = read(self.background, network.signature)
        known, passed = ([list(values.shape) for values in some.inputs] for some in (rows, background))
        paired = [shape[:1] + shape[2:] for shape in passed] == known
        if not paired and [shape[1:] for shape in passed] != [shape[1:] for shape in known]:
            raise InputError(
                f"The background has shape {', '.join(map(str, passed))} for data of shape "
                f"{', '.join(map(str, known))}; expected a pool of such rows, or [row, background, ...]."
            )
        if paired and len({shape[1] for shape in passed}) > 1:
            raise InputError(f"The inputs have {passed} backgrounds a row; expected as many for each input.")
        inputs = [values.flatten(0, 1) if paired else values for values in background.inputs]
        prepared = tuple(call.prepared(inputs))
        return Given(prepared, run(prepared), passed[0][1] if paired else None)

    def _with_steps(
        self, path: PathIntegral, sample: Sample, most_pairs: int
    ) -> tuple[PathIntegral, float | None]:
        """The path with its number of steps, and the largest change of a unit when they were doubled."""
        if not isinstance(self.steps, str):
            return replace(path, steps=int(self.steps)), None
        pilot = sample.pilot(PILOT_ROWS, PILOT_BACKGROUNDS)
        steps, before, change = 4, None, 1.0
        while steps <= MOST_STEPS:
            sums, trial = Sums(), replace(path, steps=steps, by_class=False)
            for block in _blocks(pilot, most_pairs):
                trial.add(block, sums, lambda pairs: None)
            now = {key: np.asarray(of_units.total) for key, of_units in sums.between.items()}
            total = max((float(np.abs(units.sum())) for units in now.values()), default=0.0)
            if before is not None:
                change = max(float(np.abs(now[key] - before[key]).max()) for key in now) / max(total, 1e-12)
                if change <= LARGEST_CHANGE:
                    return replace(path, steps=steps), change
            before, steps = now, 2 * steps
        warnings.warn(
            f"With {MOST_STEPS // 2} and {MOST_STEPS} steps the current of a unit differs by {change:.1%} of "
            "the total; pass more, such as Currents(steps=256), for a closer integral.",
            stacklevel=2,
        )
        return replace(path, steps=MOST_STEPS), change


def _blocks(sample: Sample, most_pairs: int) -> Iterator[Block]:
    return blocks(
        sample.rows, sample.weights, sample.backgrounds, sample.groups, most_pairs, sample.pool_groups
    )


def _total_is(decided: Decided, given: Given | None) -> str:
    """The total, in words."""
    if given is None:
        name = (
            "mean information about the label" if getattr(decided, "labels", None) is not None else "I(X; Y)"
        )
    elif given.each is None:
        name = "mean divergence from the mean decision of the background"
    else:
        name = "mean divergence from the decision at the backgrounds of each row"
    several = max(decided.independent) + 1
    return name if several == 1 else f"{name}, added up over {several} outputs"


def _check_positions(network: Network, output: Place) -> None:
    """Refuse what has several decisions a row."""
    if network.reduce == "positions":
        raise InputError(
            "Currents are those of whole rows and reduce is 'positions'; omit it, or use nif.Association()."
        )
    if math.prod(output.axes.grid) > 1:
        raise InputError(
            f"The output has shape {list(output.shape)} a row, so it decides at several positions; pass a "
            "model that returns one vector a row, such as the logits at the last position."
        )


def _check_floating(inputs: tuple[Tensor, ...]) -> None:
    if not all(values.is_floating_point() for values in inputs):
        raise InputError(
            "The inputs are whole numbers, between which there is no way; expected floating-point "
            "inputs, such as the embeddings of tokens."
        )


def _outputs(call: Any, place: Place, inputs: tuple[Tensor, ...]) -> Float[Tensor, "pool output"]:
    parts = []
    for first in range(0, len(inputs[0]), BATCH):
        batch = [values[first : first + BATCH].clone() for values in inputs]
        parts.append(place.axes.arranged(call(batch), len(batch[0])).flatten(1).float())
    outputs = torch.cat(parts)
    if not torch.isfinite(outputs).all():
        raise InputError("The outputs have NaN or infinite values, so their information has no bound.")
    return outputs


def _pairs_a_block(path: PathIntegral, sample: Sample) -> tuple[int, bool]:
    """Pairs whose tape is not too large; and whether it is so small that one thread is faster."""
    pilot = sample.pilot(1, 2)
    block = next(_blocks(pilot, 2))
    tape = path.tape(block, 0.0)
    sizes = [tape.values[i].numel() for i in tape.moving if isinstance(tape.values[i], Tensor)]
    a_pair = max(1, sum(sizes) // block.backgrounds.size)
    pairs = max(1, min(MOST_PAIRS, LARGEST_TAPE // a_pair))
    return pairs, pairs * max(sizes) // block.backgrounds.size < SMALL


def _warn_of_general_rule(sums: Sums) -> None:
    if sums.general:
        names = ", ".join(sorted(sums.general))
        warnings.warn(
            f"The operations {names} have no rule of their own; their currents follow a mean gradient with "
            "the rest shared in proportion.",
            stacklevel=3,
        )
