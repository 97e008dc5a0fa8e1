r"""One critic for the relevance and all redundancies of a link (eq. 3), in two readings.

A link (i, k) has one critic T. Relevance feeds it the layer and :math:`Q_k`; a redundancy term feeds it the
layer with every unit but i at its mean, and another unit :math:`X_j`. With A and :math:`B_j` the
Donsker–Varadhan bounds of these terms,

- ``"shared"`` ascends :math:`A + \\sum_j B_j`: every bound is tightened, none is as tight as with a critic of
  its own;
- ``"joint"`` ascends :math:`A - \beta \\sum_j B_j`, the printed objective. It has no maximum, because each B
  is unbounded below, so the critic is bounded here: :math:`T \to c \tanh(T / c)`. Ascent then drives the B
  far below what information can be, and the value says how far c allows it.

Both are combined as :math:`A - \beta \\sum_j B_j` on samples the critic never saw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.core.arguments import checked_options
from nif.core.checkpoint import Stage, kept
from nif.core.random import usual_defaults
from nif.core.statistics import cauchy_combination
from nif.core.types import Advance, Links, ignore
from nif.estimators.neural.bounds import Bound, donsker_varadhan, independence_p_value, influence_of_ratio
from nif.estimators.neural.critics import Critics, gaussian_critics
from nif.estimators.neural.cross_fitting import Folds
from nif.estimators.neural.training import Samples, Schedule, refuse_missing, shifts_of, train
from nif.estimators.ranks import normal_scores
from nif.measures.association.decomposition import beta_for, redundancy_weights

if TYPE_CHECKING:
    from nif.measures.association.association import Association

LIMIT = 5.0
"""Bound c of a critic's score under the printed objective."""

WORKING_SET = 2**20
"""Numbers that the inputs of one block of critics may fill; training takes some fifty times as many."""


@checked_options
@dataclass(frozen=True)
class SharedMine:
    """Options of critics that serve several terms at once; small, because there is one for every link.

    Args:
        hidden: Units in each of the critic's two hidden layers.
        folds: Parts of the data that are held out in turn.
        steps: Budget of gradient steps for a critic.
        batch: Joint samples in a step.
        learning_rate: Of Adam, at the start.
        eval_shifts: Product samples for each joint sample in the reported value.
        device: Where critics are trained.
    """

    hidden: int = 16
    folds: int = 2
    steps: int = 120
    batch: int = 64
    learning_rate: float = 1e-2
    eval_shifts: int = 5
    device: str = "cpu"

    def links(
        self,
        layer: Float[np.ndarray, "sample unit"],
        units: Float[np.ndarray, "sample target"],
        options: Association,
        *,
        seed: int = 0,
        advance: Advance = ignore,
        stage: Stage | None = None,
    ) -> tuple[Links, int]:
        """Links of one layer to the units of another, as of layers 0 and 1, and how many did not converge.

        Blocks of links that are finished are kept in a stage of a checkpoint, if there is one.
        """
        refuse_missing(self.device)
        with usual_defaults():
            return self._links(layer, units, options, seed, advance, stage)

    def _links(
        self,
        layer: Float[np.ndarray, "sample unit"],
        units: Float[np.ndarray, "sample target"],
        options: Association,
        seed: int,
        advance: Advance,
        stage: Stage | None,
    ) -> tuple[Links, int]:
        terms = _Terms(_centred_scores(layer), _centred_scores(units), options)
        numbers_per_link = len(layer) * terms.count * terms.width
        size = max(1, WORKING_SET // (numbers_per_link * self.folds))
        pairs = np.indices((layer.shape[1], units.shape[1])).reshape(2, -1).T
        parts = []
        for start in range(0, len(pairs), size):
            some = pairs[start : start + size]
            parts.append(kept(stage, str(start), partial(self._block, terms, some, seed)))
            advance(min(size, len(pairs) - start) / len(pairs))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        *numbers, converged = (column.reshape(layer.shape[1], units.shape[1]) for column in columns)
        return Links(0, 1, *numbers), int((~converged).sum())

    def _block(self, terms: _Terms, pairs: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
        generator = torch.Generator().manual_seed(seed)
        samples = terms.samples(pairs, self.device)
        folds = Folds.of(samples.x.shape[1], self.folds, generator)
        fit = folds.take(samples, folds.fit)
        schedule = Schedule(self.steps, self.batch, shifts=1, learning_rate=self.learning_rate)
        critics = terms.critics(fit, self.hidden, generator)
        trained = train(critics, terms.bound, fit, folds.take(samples, folds.validation), schedule, generator)
        held_out = folds.take(samples, folds.held_out)
        shifts = shifts_of(held_out.x.shape[1], self.eval_shifts, generator).to(self.device)
        with torch.no_grad():
            scores = trained.critics.scores(held_out.x, held_out.y, shifts)
        return terms.summary(*scores, shifts, self.folds, trained.converged)


class TermCritics(Critics):
    """Critics that score several terms with the same weights.

    x holds the inputs of the terms side by side, ``[pair, sample, term * dim_x]``, and y one column for each.
    Scores come with the terms side by side along the sample axis.
    """

    def scores(self, x: Tensor, y: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of all terms, ``[pair, term * sample]`` and ``[pair, shift, term * sample]``."""
        pairs, samples, terms = y.shape
        by_term = x.view(pairs, samples, terms, -1).transpose(1, 2).flatten(0, 1)
        repeated = Critics(*[tensor.repeat_interleave(terms, dim=0) for tensor in self.parameters])
        joint, product = repeated.scores(by_term, y.transpose(1, 2).reshape(-1, samples, 1), shifts)
        product = product.reshape(pairs, terms, -1, samples).transpose(1, 2).flatten(2)
        return joint.reshape(pairs, -1), product


class BoundedTermCritics(TermCritics):
    """The same with scores in ``[-LIMIT, LIMIT]``."""

    def scores(self, x: Tensor, y: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of all terms, bounded."""
        joint, product = super().scores(x, y, shifts)
        return LIMIT * torch.tanh(joint / LIMIT), LIMIT * torch.tanh(product / LIMIT)


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms of every link between two layers: relevance first, then the redundancy with each unit.

    A redundancy that does not count is a term of zeros: its bound is exactly 0 and it moves no weight.
    """

    layer: Float[np.ndarray, "sample unit"]
    units: Float[np.ndarray, "sample target"]
    options: Association

    @property
    def width(self) -> int:
        return self.layer.shape[1]

    @property
    def count(self) -> int:
        return 1 + self.width

    @property
    def penalty(self) -> float:
        """The factor of a redundancy bound in a link: beta times its weight."""
        return beta_for(self.options.beta, self.width) * (1.0 if self.options.order == "index" else 0.5)

    def samples(self, pairs: np.ndarray, device: str) -> Samples:
        """The terms of some links side by side."""
        rows = len(self.layer)
        x = np.zeros((len(pairs), rows, self.count, self.width), dtype=np.float32)
        y = np.zeros((len(pairs), rows, self.count), dtype=np.float32)
        counted = redundancy_weights(self.options.order, self.width) > 0
        for link, (i, k) in enumerate(pairs):
            alone = np.zeros_like(self.layer)
            alone[:, i] = self.layer[:, i]
            x[link, :, 0] = self.layer if self.options.relevance == "layer" else alone
            x[link, :, 1:] = alone[:, None] * counted[i, :, None]
            y[link, :, 0] = self.units[:, k]
            y[link, :, 1:] = self.layer * counted[i]
        return Samples(torch.tensor(x, device=device).flatten(2), torch.tensor(y, device=device))

    def critics(self, fit: Samples, hidden: int, generator: torch.Generator) -> TermCritics:
        """Critics that start at the Gaussian log density ratio of the relevance."""
        relevance = fit.x[..., : self.width], fit.y[..., :1]
        start = gaussian_critics(*relevance, hidden, generator)
        kind = BoundedTermCritics if self.options.critic == "joint" else TermCritics
        return kind(*start.parameters)

    @property
    def bound(self) -> Bound:
        """The bound that a critic ascends."""

        def total(joint: Tensor, product: Tensor) -> Tensor:
            bounds = donsker_varadhan(*self._by_term(joint, product)).view(-1, self.count)
            sign = -self.penalty if self.options.critic == "joint" else 1.0
            return bounds[:, 0] + sign * bounds[:, 1:].sum(dim=1)

        return Bound(lambda joint, product, _: total(joint, product), total, influence_of_ratio)

    def _by_term(self, joint: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        """Terms along the pair axis, as a plain bank of pairs has it."""
        rows = joint.shape[1] // self.count
        shifted = product.view(len(product), -1, self.count, rows).transpose(1, 2)
        return joint.reshape(-1, rows), shifted.flatten(0, 1)

    def summary(
        self, joint: Tensor, product: Tensor, shifts: Tensor, folds: int, converged: Tensor
    ) -> tuple[np.ndarray, ...]:
        """Nats, standard error, p-value and relevance of each link, folds combined; whether it converged."""
        by_term = self._by_term(joint, product)
        bounds = donsker_varadhan(*by_term).view(-1, self.count)
        signs = bounds.new_tensor([1.0] + [-self.penalty] * self.width)
        influence = influence_of_ratio(*by_term, shifts).view(len(bounds), self.count, -1)
        of_link = (influence * signs[:, None]).sum(dim=1)
        relevance = [score.view(len(bounds), self.count, *score.shape[1:])[:, 0] for score in by_term]
        p_value = independence_p_value(relevance[0], relevance[1], shifts)
        error = of_link.std(dim=-1) / math.sqrt(of_link.shape[-1])

        def of_folds(values: Tensor) -> np.ndarray:
            return values.view(-1, folds).double().cpu().numpy()

        return (
            of_folds((bounds * signs).sum(dim=1)).mean(axis=1),
            np.sqrt((of_folds(error) ** 2).sum(axis=1)) / folds,
            cauchy_combination(of_folds(p_value)),
            of_folds(bounds[:, 0]).mean(axis=1),
            converged.view(-1, folds).all(dim=1).cpu().numpy(),
        )


def _centred_scores(columns: Float[np.ndarray, "sample unit"]) -> Float[np.ndarray, "sample unit"]:
    """Normal scores with mean 0, so that a unit at its mean is a unit at 0."""
    scores = normal_scores(columns)
    return scores - scores.mean(axis=0)
