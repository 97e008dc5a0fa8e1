"""Fewer dimensions of queries and keys: the products that matter most stay, in closed form."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.network.forward import batches
from nif.network.unit_groups import UnitIds
from nif.network.weights import calls, some_of
from nif.pruning.attention import Attention, attentions
from nif.pruning.padded import PaddedLinear
from nif.pruning.problem import ATTENTION, PruningProblem, left_whole, shared_weights
from nif.pruning.removal import Kept, shrink_to
from nif.pruning.result import REMOVED, RESTORED
from nif.pruning.selection import check_fraction, longest_harmless_prefix
from nif.pruning.trial import have_same_outputs

RIDGE = 1e-9
"""Added to moments of keys, as a fraction of their mean square, so that they have an inverse."""

NOT_PRODUCTS = (
    "key_dims= removes dimensions where all that is done with queries and keys are their products; here they "
    "are also normalized, turned by their positions or shared by several heads, or the module is unknown"
)

NO_ATTENTION = "key_dims= found no attention of a known form in this network; nothing was removed for it."

SPREAD = 3.0
"""Standard deviation of the scores in a trial: attention that hardly looks at its keys would pass any."""

Moments = dict[tuple[str, str], Tensor]
"""For each module, of queries their mean products and of keys their covariances, ``[head, dim, dim]``."""


@dataclass(frozen=True, eq=False)
class KeyDims:
    """A problem whose network has fewer dimensions of queries and keys.

    Attributes:
        problem: On the smaller network.
        kept: What was kept of each tensor that is smaller.
        removed: One row for each removed dimension.
        restored: One row for each that was to be removed.
        left: Why attention is left whole.
    """

    problem: PruningProblem
    kept: Kept = field(default_factory=dict)
    removed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=REMOVED))
    restored: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=RESTORED))
    left: tuple[str, ...] = ()

    def then(self, kept: Kept) -> Kept:
        """What is kept of each tensor after a second cut."""
        both = {
            name: tuple(before[after] for before, after in zip(self.kept[name], kept[name], strict=True))
            for name in self.kept.keys() & kept.keys()
        }
        return {**self.kept, **kept, **both}


def low_rank_products(
    queries: Float[Tensor, "dim dim"], keys: Float[Tensor, "dim dim"]
) -> tuple[Float[Tensor, "rank dim"], Float[Tensor, "rank dim"], Float[Tensor, " rank"]]:
    r"""Maps of queries and of keys whose first r rows give the products of rank r that differ least.

    .. math:: \min_{A, B} \; E \big( q^\top k - (A q)^\top (B k) \big)^2
        = \sum_{j > r} s_j^2, \qquad U \operatorname{diag}(s) V^\top = C_q^{1/2} C_k^{1/2}

    by :math:`A = V_r^\top C_k^{1/2}`, :math:`B = V_r^\top C_k^{-1/2}`, for queries and keys that are
    independent with moments :math:`C_q = E q q^\top` and :math:`C_k`. With all rows the products are the
    same. Because softmax does not see what is the same for all keys, :math:`C_k` is their covariance.

    Args:
        queries: :math:`C_q`.
        keys: :math:`C_k`.

    Returns:
        A, B and the squares of s, from the largest on.

    References:
        Eckart & Young (1936), The approximation of one matrix by another of lower rank, Psychometrika 1.

    Example:
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> a, b, squares = low_rank_products(torch.diag(torch.tensor([4.0, 9.0])).double(), eye)
        >>> [round(value, 3) for value in squares.tolist()]
        [9.0, 4.0]
        >>> torch.allclose(a.T @ b, eye)
        True
    """
    small = RIDGE * keys.diagonal().mean() + torch.finfo(keys.dtype).tiny
    variances, axes = torch.linalg.eigh(keys + small * torch.eye(len(keys)).to(keys))
    deviations = variances.clamp_min(small).sqrt()
    root, inverse = (axes * deviations) @ axes.T, (axes / deviations) @ axes.T
    powers, directions = torch.linalg.eigh(queries)
    half = powers.clamp_min(0).sqrt()[:, None] * directions.T  # its square is C_q; U is not needed
    _, singular, right = torch.linalg.svd(half @ root)
    return right @ root, right @ inverse, singular.square()


def with_fewer_key_dims(problem: PruningProblem, fraction: float, tolerance: float | None) -> KeyDims:
    """Remove this fraction of all dimensions of keys and queries, or as many as the tolerance allows.

    Of attention that a trial finds to compute nothing but products of queries and keys: where both are turned
    in the same way, the outputs stay the same.
    """
    check_fraction(fraction, "dimensions of keys")
    found = [attention for attention in attentions(problem.model) if _has_pairs(problem, attention)]
    moments = _moments(problem, found)
    known = {each.name: each for each in found if _is_all_products(problem, each, moments)}
    left = _left(problem, known)
    if not known:
        return KeyDims(problem, left=left or (NO_ATTENTION,))
    turned, energies = _turned(problem, known, moments)
    order = _order(energies)
    wanted = np.arange(min(len(order), round(fraction * sum(map(len, energies.values())))))

    def without(count: int) -> tuple[nn.Module, Kept]:
        smaller = copy.deepcopy(turned)
        kept = _kept(smaller, known, order[:count])
        shrink_to(smaller, kept)
        return smaller, kept

    def satisfies(some: UnitIds) -> bool:
        return tolerance is None or problem.is_within(tolerance, without(len(some))[0])

    gone = len(longest_harmless_prefix(wanted, satisfies))
    restored = _table(order[gone : len(wanted)], RESTORED, "exceeds the tolerance")
    if not gone:
        return KeyDims(problem, restored=restored, left=left)
    smaller, kept = without(gone)
    return KeyDims(problem.on(smaller), kept, _table(order[:gone], REMOVED, "cut"), restored, left)


def _left(problem: PruningProblem, known: Collection[str]) -> tuple[str, ...]:
    """Which attention of the flow keeps its dimensions."""
    others = [
        layer.name
        for layer in problem.flow.layers
        if layer.kind in ATTENTION
        and not any(layer.name == name or layer.name.startswith(f"{name}.") for name in known)
    ]
    return tuple(left_whole(dict.fromkeys(others, NOT_PRODUCTS)))


def _has_pairs(problem: PruningProblem, attention: Attention) -> bool:
    """Whether each head has queries and keys of one width, of layers of its own."""
    (query, queries), (key, keys) = attention.blocks[:2]
    layers = {query, key, attention.output}
    known = layers <= problem.weights.rows.keys() and not shared_weights(problem.model) & layers
    whole = not isinstance(problem.model.get_submodule(query), PaddedLinear)
    return known and whole and queries.shape == keys.shape and queries.shape[1] > 1


def _is_all_products(problem: PruningProblem, attention: Attention, moments: Moments) -> bool:
    """Whether turning the queries and keys of each head in the same way changes no output."""
    plain, turned = copy.deepcopy(problem.model), copy.deepcopy(problem.model)
    (query, queries), (key, keys) = attention.blocks[:2]
    width, generator = queries.shape[1], torch.Generator().manual_seed(0)
    for head in range(attention.heads):
        gaussian = torch.randn(width, width, dtype=torch.float64, generator=generator)
        turn, same = torch.linalg.qr(gaussian)[0], torch.eye(width, dtype=torch.float64)
        products = (moments[attention.name, "query"][head] * moments[attention.name, "key"][head]).sum()
        scale = SPREAD * (width / products.clamp_min(torch.finfo(products.dtype).tiny)).sqrt()
        _turn(plain, query, queries[head], scale * same)
        _turn(turned, query, queries[head], scale * turn)
        _turn(turned, key, keys[head], turn)
    return have_same_outputs(problem, plain, turned)


@torch.no_grad()
def _turn(model: nn.Module, layer: str, rows: UnitIds, turn: Float[Tensor, "dim dim"]) -> None:
    """Replace some outputs of a layer by linear combinations of them, in place."""
    module: Any = model.get_submodule(layer)
    places = torch.from_numpy(rows)
    for tensor in (module.weight, module.bias):
        if tensor is not None:
            tensor[places] = (turn.to(tensor.device) @ tensor[places].double()).to(tensor)


@torch.no_grad()
def _turned(
    problem: PruningProblem, known: dict[str, Attention], moments: Moments
) -> tuple[nn.Module, dict[str, Float[np.ndarray, " dim"]]]:
    """The same network with the most important products first in every head, and how much each one is."""
    turned, energies = copy.deepcopy(problem.model), {}
    for name, found in known.items():
        energies[name] = np.zeros(found.blocks[0][1].shape[1])
        for head in range(found.heads):
            maps = low_rank_products(moments[name, "query"][head], moments[name, "key"][head])
            for (layer, places), turn in zip(found.blocks, maps[:2], strict=False):
                _turn(turned, layer, places[head], turn)
            energies[name] += maps[2].numpy()
    return turned, energies


@torch.no_grad()
def _moments(problem: PruningProblem, found: Sequence[Attention]) -> Moments:
    """On the rows of the problem."""
    sums: dict[tuple[str, str], list[Any]] = {}
    roles = [
        (attention.name, role, layer, places)
        for attention in found
        for role, (layer, places) in zip(("query", "key"), attention.blocks, strict=False)
    ]
    with calls(problem.model, [layer for _, _, layer, _ in roles]) as noted:
        for piece in batches(problem.call, some_of(problem.model, problem.inputs)):
            problem.call.all_outputs(piece)
            for name, role, layer, places in roles:
                for _, returned in noted[layer]:
                    x = returned.double().cpu().flatten(0, -2)[:, places]
                    products = torch.einsum("rhi,rhj->hij", x, x)
                    before = sums.get((name, role), [0, 0.0, 0.0])
                    sums[name, role] = [before[0] + len(x), before[1] + x.sum(0), before[2] + products]
            for _, _, layer, _ in roles:
                noted[layer].clear()
    moments = {}
    for (name, role), (count, total, products) in sums.items():
        mean = total / count if role == "key" else torch.zeros_like(total)
        moments[name, role] = products / count - mean[:, :, None] * mean[:, None]
    return moments


def _order(energies: dict[str, Float[np.ndarray, " dim"]]) -> list[tuple[str, int]]:
    """Modules and dimensions, those first that are the smallest share of the products of their module."""
    rows = [
        (energy[dim] / max(energy.sum(), np.finfo(np.float64).tiny), -dim, name)
        for name, energy in energies.items()
        for dim in range(1, len(energy))
    ]
    return [(name, -dim) for _, dim, name in sorted(rows)]


def _kept(model: nn.Module, known: dict[str, Attention], gone: list[tuple[str, int]]) -> Kept:
    """The rows that stay of every layer that computes queries or keys."""
    kept: Kept = {}
    for name, found in known.items():
        count = sum(module == name for module, _ in gone)
        for layer in {layer for layer, _ in found.blocks[:2]} if count else ():
            module: Any = model.get_submodule(layer)
            lost = [places[:, places.shape[1] - count :] for one, places in found.blocks[:2] if one == layer]
            stays: UnitIds = np.setdiff1d(np.arange(module.out_features), lost)
            kept[f"{layer}.weight"] = stays, np.arange(module.in_features)
            if module.bias is not None:
                kept[f"{layer}.bias"] = (stays.copy(),)
    return kept


def _table(rows: list[tuple[str, int]], columns: list[str], why: str) -> pd.DataFrame:
    return pd.DataFrame([(name, f"key {dim}", dim, why) for name, dim in rows], columns=columns)
