"""Arguments of public functions: a value that their annotation does not allow is refused in a sentence."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nif
from nif.core.annotations import expected_of
from nif.flow.flow import example
from nif.pruning import Pruned

FUNCTIONS = ("measure", "prune", "compare", "compare_links", "across", "layers", "load", "shrink")
FUNCTIONS += ("known_and_used", "estimate", "pairwise")
PLOTS = ("attribution", "communities", "known_and_used", "links", "network", "profile", "pruning", "sankey")
OPTIONS = ("Currents", "Association", "DecisionInformation", "SharedMine", "Binned", "Ksg")
OPTIONS += ("Mine", "InfoNce", "Nwj", "Smile")


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """What users call, by name."""
    for name in (*FUNCTIONS, *OPTIONS, "Watch"):
        yield name, getattr(nif, name)
    for name in PLOTS:
        yield f"plots.{name}", getattr(nif.plots, name)
    for name in ("load", "split"):
        yield f"datasets.{name}", getattr(nif.datasets, name)
    for owner in (nif.Flow, nif.Watch, Pruned, nif.Estimate):
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{owner.__name__}.{name}", method


CASES = {
    f"{name}({parameter.name})": (function, parameter.name)
    for name, function in public()
    for parameter in inspect.signature(function).parameters.values()
    if name not in ("Estimate.of", "Estimate.map") and expected_of(parameter) is not None
}


VALID = {"Flow": example(), "pd.DataFrame": pd.DataFrame(), "Dataset": nif.datasets.load("iris")}


def test_most_arguments_are_checked() -> None:
    assert len(CASES) > 150


@pytest.mark.parametrize(("function", "name"), CASES.values(), ids=CASES.keys())
def test_another_type_is_refused(function: Callable[..., Any], name: str) -> None:
    needed = {
        each.name: VALID.get(each.annotation, "x")
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    }
    with pytest.raises(nif.InputError, match=rf"^{name} is <object object at .*; expected .*\."):
        function(**{**needed, name: object()})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda flow: flow.attribution(clip="a"), "clip is 'a'; expected True or False."),
        (lambda flow: flow - 3, "other is 3; expected the result of nif.measure(model, data)."),
        (lambda flow: flow.edges(top=True), "top is True; expected a whole number of 1 or more, or None."),
        (lambda flow: flow.silent(float("nan")), "alpha is nan; expected a number between 0 and 1."),
        (lambda flow: nif.load(3), "path is 3; expected the name of a file or folder."),
        (lambda flow: nif.Mine(hidden=-1), "hidden is -1; expected a whole number of 1 or more."),
        (
            lambda flow: nif.Currents(steps=True),
            "steps is True; expected a whole number of 1 or more",
        ),
        (lambda flow: nif.Smile(clip=0), "clip is 0; expected a number above 0."),
        (lambda flow: nif.Association(beta="1"), "beta is '1'; expected a number, or None."),
        (lambda flow: nif.estimate([1] * 50, [1] * 50, seed="a"), "seed is 'a'; expected a whole number"),
        (lambda flow: nif.Watch(None, None, every="a"), "every is 'a'; expected a whole number of 1 or more"),
        (lambda flow: nif.across([flow, flow], None), "models holds flows; expected trained networks"),
    ],
)
def test_the_sentence(call: Callable[[nif.Flow], Any], said: str) -> None:
    with pytest.raises(nif.InputError) as refused:
        call(example())
    assert str(refused.value).startswith(said)


def test_numbers_of_numpy_are_numbers() -> None:
    assert nif.Mine(hidden=np.int64(3), learning_rate=np.float32(0.1)).hidden == 3
    assert len(example().edges(top=np.int32(2))) == 2


def test_options_that_do_not_exist_are_answered_with_those_that_do() -> None:
    with pytest.raises(TypeError, match=r"Mine\(\) has no argument 'step'\. Did you mean 'steps'"):
        nif.Mine(step=3)  # type: ignore[call-arg]
