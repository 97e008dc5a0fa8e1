"""Layers of functions that are activations only in their place, such as ``x ** 2`` between two weights."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from nif.network.graph import Graph, Step
from nif.network.operators import Effect, Rule, operator_of

PASSING = frozenset({
    Effect.ELEMENTWISE, Effect.BINARY, Effect.CHANNELWISE, Effect.REDUCE, Effect.RESHAPE, Effect.SPLIT,
    Effect.JOIN,
})  # fmt: skip
"""What units may pass between a function and the weights that read it."""

READING = frozenset({Effect.LINEAR, Effect.MIX})
"""What weights read units in; `MIX` is also that of unknown operators."""


SUMS = frozenset({"add", "sub", "rsub", "subtract"})

SHARES = frozenset({"div", "divide", "true_divide"})
"""Of what was mixed by what was mixed: most are means, by the sum of a mask."""


def between_weights(graph: Graph, chosen: Collection[int]) -> list[int]:
    """Named steps, beside those chosen, whose functions are all that bends what lies between two weights.

    They come after something that mixes units. They reach the next linear layer past no other layer, with as
    many numbers as they have: what a norm divides by, or attention weighs with, is spread over more. And no
    unit of them is that of a chosen layer, such as in ``relu(x) ** 2``.
    """
    steps, ahead = graph.steps, _ahead(graph)
    mixed, taken = _mixed(steps), _taken(steps, chosen)
    found = {
        named
        for index, step in enumerate(steps)
        if operator_of(step.kind).bends and not step.name and index in mixed
        for named in _named(steps, ahead, index)
        if named not in taken and not steps[named].chosen
    }
    stops, reaching = found.union(chosen), set[int]()
    for index in reversed(range(len(steps))):
        for later in ahead[index]:
            if _effect(steps[later]) is Effect.LINEAR or (
                later in reaching and later not in stops and _passes(steps[index], steps[later])
            ):
                reaching.add(index)
    return sorted(found & reaching)


def bends_between(graph: Graph) -> bool:
    """Whether a function, or a product, bends what something has mixed and something mixes again."""
    steps, mixed = graph.steps, _mixed(graph.steps)
    behind = {index for index in mixed if _bends(steps[index], mixed)}
    for index, step in enumerate(steps):
        if not behind.isdisjoint(step.maps):
            if not step.name and _effect(step) in READING:
                return True
            behind.add(index)
    return False


def _bends(step: Step, mixed: Collection[int]) -> bool:
    """What is not linear bends, but for norms; of several numbers, if all are mixed: a mask is an input."""
    operator = operator_of(step.kind)
    if operator.bends:
        return True
    if step.name or operator.rule is Rule.LINEAR or operator.weights_for_units:
        return False
    if operator.effect is Effect.BINARY or (operator.effect is Effect.MIX and operator.unit_axis is None):
        several = len(step.maps) > 1 and all(feed in mixed for feed in step.maps)
        return several and step.kind not in SUMS | SHARES
    return operator.effect in (Effect.ELEMENTWISE, Effect.CHANNELWISE, Effect.REDUCE)


def _effect(step: Step) -> Effect | None:
    """Of a function; None of a module, which is a name for what its functions have returned."""
    return None if step.name else operator_of(step.kind).effect


def _passes(before: Step, after: Step) -> bool:
    """Whether units go on from one step to the next, and are not spread over more numbers there."""
    effect = _effect(after)
    norm = effect is Effect.MIX and operator_of(after.kind).weights_for_units
    grows = prod(after.shape) > prod(before.shape) and effect is not Effect.JOIN
    return (effect is None or effect in PASSING or norm) and not grows


def _ahead(graph: Graph) -> list[list[int]]:
    """The steps that read each step."""
    ahead: list[list[int]] = [[] for _ in graph.steps]
    for index, step in enumerate(graph.steps):
        for feed in step.maps:
            ahead[feed].append(index)
    return ahead


def _mixed(steps: tuple[Step, ...]) -> set[int]:
    """The steps behind one that mixes units."""
    mixed: set[int] = set()
    for index, step in enumerate(steps):
        mixes = not step.name and any(path.source is None for path in step.maps.values())
        if mixes or not mixed.isdisjoint(step.maps):
            mixed.add(index)
    return mixed


def _taken(steps: tuple[Step, ...], chosen: Collection[int]) -> set[int]:
    """The steps whose units are those of a chosen one, or bend them together, such as a softmax."""
    taken = set(chosen)
    for index, step in enumerate(steps):
        bends = operator_of(step.kind).bends
        if any(feed in taken and (bends or path.source is not None) for feed, path in step.maps.items()):
            taken.add(index)
    return taken


def _named(steps: tuple[Step, ...], ahead: list[list[int]], start: int) -> list[int]:
    """The first steps behind one that a user can name, with as many numbers."""
    found, seen, open_ends = list[int](), {start}, [start]
    while open_ends:
        index = open_ends.pop()
        named = [later for later in ahead[index] if steps[later].name]
        found += named[:1]
        if not named:
            same = [later for later in ahead[index] if steps[later].shape == steps[start].shape]
            open_ends += [
                later for later in same if later not in seen and _passes(steps[index], steps[later])
            ]
            seen.update(same)
    return found
