"""Currents: the information that flows through every link to the decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from nif.core.arguments import checked_options
from nif.core.errors import InputError
from nif.core.types import Advance, Layer
from nif.core.weights import PathCurrents
from nif.data.rows import Rows
from nif.estimators.pairs import Resources
from nif.flow.paths import Dag
from nif.measures.currents.amount import Amount
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.caveats import missed_by_branches, warn_of_general_rule, warn_of_losses
from nif.measures.currents.class_columns import Columns, columns_of
from nif.measures.currents.decisions import warn_of_range
from nif.measures.currents.dependent_rows import groups_of_blocks
from nif.measures.currents.errors import Jackknife
from nif.measures.currents.explained_rows import ExplainedRows
from nif.measures.currents.information import Decided
from nif.measures.currents.kinds import Samples, kinds_of
from nif.measures.currents.links import Along, measured_links
from nif.measures.currents.moves import Moves
from nif.measures.currents.orders import PATHS, Orders
from nif.measures.currents.parallel import integrated
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.path_sums import MOST_PAIRS, Effort, Evaluation
from nif.measures.currents.size import Size
from nif.measures.currents.steps import (
    PILOT_BACKGROUNDS,
    PILOT_ROWS,
    blocks_of,
    check_links,
    size_of_blocks,
    with_steps,
)
from nif.measures.currents.targets import Target
from nif.measures.measure import Measured
from nif.measures.not_measured import not_measured
from nif.network.network import Network
from nif.network.precision import without_casts
from nif.network.preserve import one_thread, preserved

DECISIONS = ("softmax", "probabilities", "bernoulli", "value", "labels")

POOL = 10_000
"""Rows of data that are read; of more, these are drawn at random."""


@checked_options
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
        backgrounds: Rows that stand for what is not known of each explained row. None: 32; of a network whose
            run takes long fewer, as few as 8.
        rows: Rows to explain; of more, half are drawn at random and half in proportion to their
            information. None: 512; of a network whose run takes long fewer, as few as 64.
        steps: Of the way from a background to a row; ``"auto"`` doubles them until the error of no unit is
            above 1 % of the total, or 1e-7 nats.
        noise: Standard deviation of the noise of a value, in deviations of that output.
        path: From a background to a row. ``"straight"``: all features at a time. ``"orders"``: one group of
            features after another, averaged over orders, for one-hot groups (with `input_groups`) and
            binary features; its cost grows with the number of groups. The currents of the groups are then
            their Shapley values of v.
        orders: Random orders of each row for ``path="orders"``; all orders are averaged where they are no
            more work, as of 4 groups with 8.
        by_class: Whether features are shown for each class too, which takes a walk back for each; of more
            than 20 classes for the ten with the largest totals, and for the rest together. Or the numbers of
            the classes to show, such as ``(281, 537)``.
        target: What decides, in place of the output: ``("output", t)``, position t of an output that has
            positions, such as the logits of a language model; or a unit of a layer, such as ``("relu2", 5)``,
            as a value behind noise (of a channel or token, as `reduce` of `nif.measure` says). If None,
            an output with positions decides at the last of each row that is no padding, as a mask among the
            inputs says. Layers behind the target are not measured.
        paths: Paths from the first hidden layer to the output that are evaluated for `nif.Flow.paths`, with
            all features in front of each, within up to 64 rows against 8 backgrounds: those that the mean
            currents of links propose. None: up to 40, as many as add less than a fifth to the work. 0: none.
        blocks: Rows that depend on each other, for errors and p-values that know it: how many that follow
            each other, such as 50 of a time series, many times as many as it takes to forget; or a label for
            each row, such as its patient or day. Errors then come from leaving out blocks, ten or more.
        background: Rows that the backgrounds are drawn from, in place of the data: a pool in any form that
            data may have, or backgrounds of each row of data, ``[row, background, ...]``, in its order. The
            total is then a mean divergence of decisions. `nif.measure` has the same argument.
        explain: Rows to explain in place of rows of data, in any form that data may have; backgrounds are
            still those of data. The total is then the mean over these rows, each of which counts alike, and
            errors are those of the backgrounds alone. `nif.measure` has the same argument.

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
    backgrounds: int | None = None
    rows: int | None = None
    steps: int | str = "auto"
    noise: float = 0.2
    path: str = "straight"
    orders: int = 8
    by_class: bool | Sequence[int] = True
    target: tuple[str, int] | None = None
    paths: int | None = None
    blocks: Any = field(default=None, compare=False)
    background: Any = field(default=None, repr=False, compare=False)
    explain: Any = field(default=None, repr=False, compare=False)

    less_memory: ClassVar[str] = (
        "fewer rows, backgrounds or layers, such as nif.Currents(rows=128, backgrounds=16) and layers=, or a "
        "smaller n_jobs="
    )

    def __post_init__(self) -> None:
        known = self.decision is None or callable(self.decision) or str(self.decision) in DECISIONS
        if not known:
            raise InputError(
                f"decision is {self.decision!r}; expected {', '.join(map(repr, DECISIONS))}, a function from "
                "outputs to log-probabilities, or None."
            )
        if self.path not in PATHS:
            raise InputError(f"path is {self.path!r}; expected {' or '.join(map(repr, PATHS))}.")
        classes = () if isinstance(self.by_class, bool) else self.by_class
        if not (isinstance(classes, Sequence) and all(isinstance(number, Integral) for number in classes)):
            raise InputError(
                f"by_class is {self.by_class!r}; expected True, False, or numbers of classes, such as (0, 2)."
            )
        counted = isinstance(self.steps, Integral) and not isinstance(self.steps, bool) and self.steps >= 1
        if not counted and str(self.steps) != "auto":
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
        """Pairs of a row and a background, of those that the number of steps is chosen on, and of paths.

        The pilot of a number of steps is over twice as many: 4 + 8 + ... + S is nearly 2 S.
        """
        amount = self._amount(network, rows)
        pilot = 2 * amount.pairs(PILOT_ROWS, PILOT_BACKGROUNDS) if self.steps == "auto" else 0.0
        along = 0.0 if self.paths == 0 else amount.pairs(*MOST_PAIRS)
        return amount.pairs() + pilot + along

    def in_words(self, network: Network, rows: Rows) -> str:
        """The work, for who waits for it."""
        amount, layers = self._amount(network, rows), network.architecture(rows).layers
        return f"{amount.rows:,} rows against {amount.backgrounds} backgrounds through {len(layers)} layers"

    def _amount(self, network: Network, rows: Rows) -> Amount:
        """How much is measured."""
        explained = len(self.explain) if self.explain is not None else self.rows and min(self.rows, len(rows))
        columns = columns_of(self.by_class, len(network.architecture(rows).layers[-1].units))
        amount = Amount.of(network, rows, explained, self.backgrounds, columns)
        others = len(rows) - (self.explain is None)  # a row is no background of itself
        others = amount.backgrounds if self.background is not None else max(1, others)
        return replace(amount, backgrounds=min(amount.backgrounds, others))

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        """Integrate the currents of every link; see `Measure`."""
        generator, amount = np.random.default_rng(seed), self._amount(network, rows)
        plan, network = network.plan(rows), network.in_full_precision()
        call = network.forward(rows)
        _check_reduction(network)
        with preserved(network.module), without_casts(call, call.prepared(rows.inputs)):
            inputs = tuple(call.prepared(rows.inputs))
            moves = Moves.of(call, inputs, rows.inputs)
            target = Target.of(network, plan, moves, inputs, self.target)
            explained = ExplainedRows.of(target, network.signature, rows, self.background, self.explain)
            asked = target.decision(inputs, network.model)
            decided = explained.decided(asked, self.decision, self.noise, network)
            if self.decision is None and self.target is None:
                warn_of_range(asked, explained.known, target, inputs, rows.labels)
            inputs, outputs, given = explained.inputs, explained.outputs, explained.given
            kinds = kinds_of(moves, inputs, given)
            most_rows = len(outputs) if explained.fixed else amount.rows
            groups = None if self.blocks is None else groups_of_blocks(self.blocks, rows, given)
            sample = Samples.of(
                decided,
                outputs,
                most_rows,
                amount.backgrounds,
                generator,
                given,
                kinds,
                moves.own,
                groups,
                amount.limit,
            )
            layers = target.places(plan, moves)
            path = PathIntegral(
                target,
                [plan.places[layer] for layer in layers],
                moves,
                inputs,
                decided,
                outputs,
                {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())},
                steps=1,
                columns=self._columns(decided, outputs, sample, moves, inputs),
                background_inputs=None if given is None else given.inputs,
                feature_groups=rows.groups,
                orders=self._orders(moves, inputs, rows, generator),
            )
            size = size_of_blocks(path, sample, resources.memory)
            architecture = target.architecture(network.architecture(rows), layers)
            check_links(path, sample, _units(architecture.layers, rows))
            path, change, sums = self._integrated(path, sample, size, amount, resources, advance)
        warn_of_general_rule(sums)
        warn_of_losses(sums, path.input_layers)
        options = {**self._options(path, sample, explained), "steps": path.steps, "step_error": change}
        if sums.branches:
            options["missed_by_branches"] = missed_by_branches(sums, path.steps)
        options["path"] = "straight" if path.orders is None else path.orders.name
        along = self._along(path, sample, resources, size, amount, advance)
        measured = measured_links(network.module, architecture, path, sample, sums, options, along)
        return explained.numbered(_with_not_measured(measured, network, rows))

    def _integrated(
        self,
        path: PathIntegral,
        sample: Samples,
        size: Size,
        amount: Amount,
        resources: Resources,
        advance: Advance,
    ) -> tuple[PathIntegral, float | None, Sums]:
        """The path with its steps, how much their number matters, and the sums along it."""
        path, checkpoint = replace(path, numbers=size.numbers), resources.checkpoint
        pilot = amount.pairs(PILOT_ROWS, PILOT_BACKGROUNDS)
        with one_thread() if size.small else nullcontext():
            path, change = with_steps(
                path, sample, size, self.steps, lambda part: advance(part * pilot), checkpoint
            )
            scale = amount.pairs() / (sample.pairs * path.runs)
            sums = integrated(
                path,
                blocks_of(sample, size),
                resources.n_jobs,
                lambda done: advance(done * scale),
                room=size.room,
                stage=None if checkpoint is None else checkpoint.stage("currents"),
                scratch=resources.scratch,
            )
        return path, change, sums

    def _columns(
        self, decided: Decided, outputs: Tensor, sample: Samples, moves: Moves, inputs: tuple[Tensor, ...]
    ) -> Columns | None:
        """The classes that the features are also shown for; None for none."""
        if not self.by_class or max(decided.columns) == 0:
            return None
        features = sum(inputs[number][0].numel() for number in moves.moving)
        chosen = None if isinstance(self.by_class, bool) else self.by_class
        return Columns.of(decided, outputs, sample, chosen, features)

    def _along(
        self,
        path: PathIntegral,
        sample: Samples,
        resources: Resources,
        size: Size,
        amount: Amount,
        advance: Advance,
    ) -> Along | None:
        """What evaluates paths from the links; None if it is not asked for."""
        effort, few = Effort.of(self.paths, sample.pairs, small=size.small), amount.pairs(*MOST_PAIRS)

        def along(graph: Dag, jackknife: Jackknife, total: float) -> PathCurrents | None:
            stage = None if resources.checkpoint is None else resources.checkpoint.stage("paths")
            given = resources.n_jobs, size, stage, resources.scratch
            evaluation = Evaluation(path, sample, effort, *given)
            return evaluation.along(graph, jackknife, total, lambda part: advance(part * few))

        return along if effort.paths else None

    def _orders(
        self, moves: Moves, inputs: tuple[Tensor, ...], rows: Rows, generator: np.random.Generator
    ) -> Orders | None:
        """In which the features move; None for the straight way."""
        if self.path == "straight":
            return None
        if moves.embedded:
            raise InputError(
                "path is 'orders' and the features are token ids; expected floating-point inputs, or "
                "path='straight'."
            )
        return Orders.of([inputs[number] for number in moves.moving], rows.groups, self.orders, generator)

    def _options(self, path: PathIntegral, sample: Samples, explained: ExplainedRows) -> dict[str, Any]:
        """What was chosen, to be stored with the flow."""
        at = f", at {path.target.name}" if path.target.name else ""
        of_own = f", given {' and '.join(path.moves.own)}" if len(sample.kinds) > 1 else ""
        return {
            "decision": path.decided.name + at,
            "total_is": explained.total_is(path.decided) + of_own,
            "held": [path.moves.names[number] for number in path.moves.held],
            "backgrounds": sample.each,
            "explained": len(sample.rows),
            "noise": self.noise,
            "exact_total": sample.exact,
            "rows_key": sample.key(path.inputs),
        }


def _units(layers: Sequence[Layer], rows: Rows) -> list[int]:
    """Number of the units of each layer; features may be measured in groups."""
    groups = None if rows.groups is None else len(rows.groups.names)
    return [groups if groups is not None and layer.kind == "input" else len(layer.units) for layer in layers]


def _with_not_measured(measured: Measured, network: Network, rows: Rows) -> Measured:
    """With the names of what ran and has no currents."""
    assert measured.currents is not None
    known = {name for weight in measured.currents.weights for name in weight.names}
    left_out = not_measured(network, rows, by_weight=True, known=known)
    return replace(measured, options={**measured.options, "not_measured": left_out})


def _check_reduction(network: Network) -> None:
    """Refuse what has several decisions a row."""
    if network.reduce == "positions":
        raise InputError(
            "Currents are those of whole rows and reduce is 'positions'; omit it, or use nif.Association()."
        )
