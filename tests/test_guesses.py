"""What people type who know other libraries: it works, or the answer is the line to write."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nif
from nif.core import guesses

X = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
NAMES = ["setosa", "virginica"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def flow() -> nif.Flow:
    method = nif.Currents(paths=0, backgrounds=8)
    return nif.measure(network(), X, method, class_names=NAMES, progress=False)


def test_labels_of_pruning_in_every_place(flow: nif.Flow) -> None:
    pairs: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((X, Y), {}),
        (((X, Y),), {}),
        ((X,), {"labels": Y}),
    ]
    scores = [nif.prune(network(), flow, *rows, **options).score_before for rows, options in pairs]
    assert len({float(score) for score in scores}) == 1
    nothing = nif.prune(network(), flow, X, Y, remove=0.5, tolerance=None, cut=False)
    assert nothing.size_after.milliseconds == nothing.size_before.milliseconds  # no time is claimed
    named = nif.prune(network(), flow, X, [NAMES[int(label)] for label in Y])
    assert named.score == "accuracy" and float(named.score_before) in {float(score) for score in scores}
    with pytest.raises(nif.InputError, match="'versicolor'"):
        nif.prune(network(), flow, X, ["versicolor"] * len(X))


@pytest.mark.parametrize(
    ("options", "instead"),
    [({"fraction": 0.5}, "pass remove=0.5"), ({"sparsity": 0.5}, "pass remove=0.5"), ({"y": Y}, "labels=")],
)
def test_options_of_pruning_by_other_names(flow: nif.Flow, options: dict[str, Any], instead: str) -> None:
    with pytest.raises(TypeError, match=instead):
        nif.prune(network(), flow, X, **options)


def test_a_flow_in_the_wrong_place(flow: nif.Flow) -> None:
    with pytest.raises(nif.InputError, match=r"flow is of type Tensor; expected the result of nif\.measure"):
        nif.prune(network(), X, Y)


@pytest.mark.parametrize("methods", ["IG", "integrated gradients", ["Integrated-Gradients"]])
def test_methods_of_compare_in_any_case(flow: nif.Flow, methods: Any) -> None:
    table = nif.compare(network(), flow, X, Y, methods=methods, repeats=2)
    assert list(table.index) == ["raw MI", "integrated gradients"]


def test_an_unknown_method_of_compare_is_answered_with_the_nearest(flow: nif.Flow) -> None:
    with pytest.raises(nif.InputError, match=r"'shab'\. Did you mean 'SHAP'"):
        nif.compare(network(), flow, X, Y, methods="shab")


@pytest.mark.parametrize("given", ["setosa", 0, np.int64(0)])
def test_the_attribution_of_one_class(flow: nif.Flow, given: Any) -> None:
    one = flow.attribution(given)
    np.testing.assert_array_equal(one, flow.attribution()[["setosa"]])
    np.testing.assert_array_equal(
        flow.attribution_stderr(class_name=given), flow.attribution_stderr()[["setosa"]]
    )


@pytest.mark.parametrize(
    ("given", "message"), [("versicolor", "Did you mean"), (2, "no class '2'"), (True, "clip=")]
)
def test_a_class_that_does_not_exist_is_refused(flow: nif.Flow, given: Any, message: str) -> None:
    with pytest.raises(nif.InputError, match=message):
        flow.attribution(given)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("to_dataframe", "importance"),
        ("describe", "summary"),
        ("shap_values", "to_shap"),
        ("prune", "nif.prune"),
    ],
)
def test_methods_of_other_libraries(flow: nif.Flow, name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=instead):
        getattr(flow, name)
    assert not hasattr(flow, name)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda flow: nif.measure(network()), r"missing a required argument: 'data'; write nif\.measure"),
        (lambda flow: nif.measure(network(), X=X), r"nif\.measure\(model, x\)"),
        (lambda flow: nif.measure(network(), X, verbose=False), "progress=False"),
        (lambda flow: nif.measure(network(), X, feature_nmaes=[]), "Did you mean 'feature_names'"),
        (lambda flow: nif.prune(network(), flow), r"write nif\.prune\(model, flow, x, y, remove=0\.5\)"),
        (lambda flow: nif.prune(network(), flow, X, Y, 0.5), r"too many .*; write nif\.prune"),
        (lambda flow: nif.prune(network(), flow, X, Y, epochs=3), "nothing is trained"),
        (lambda flow: nif.prune(network(), flow, X, Y, validation=(X, Y)), r"pass held_out=\(x, y\)"),
        (lambda flow: nif.compare(network(), X, Y), r"write nif\.compare\(model, flow, x, y\)"),
        (lambda flow: nif.Watch(network()), r"write nif\.Watch\(model, x, every=5\)"),
        (lambda flow: nif.Watch(network(), X, rows=100), "max_samples=1000"),
        (lambda flow: flow.edges(k=5), r"flow\.edges\(top=10\)"),
        (lambda flow: flow.paths(top=5), r"flow\.paths\(k=10\)"),
        (lambda flow: flow.neurons(layer="1"), r"flow\.neurons\(\)\.loc"),
        (lambda flow: flow.plot(kind="sankey"), r"nif\.plots"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_the_call(
    flow: nif.Flow, call: Any, instead: str
) -> None:
    with pytest.raises(TypeError, match=instead):
        call(flow)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda flow: flow.paths(5), "A number of paths is k="),
        (lambda flow: flow.importance("x1"), r"flow\.importance\(\)\.loc\['x1'\]"),
        (lambda flow: flow.importance(0), "top is 0; expected a whole number of 1 or more"),
        (lambda flow: flow.plot("sankey"), r"ax is 'sankey'.*nif\.plots\.sankey\(flow\)"),
        (lambda flow: nif.plots.attribution(flow, "setosa"), "pass label='setosa'"),
        (lambda flow: nif.measure(nn.Linear, X), r"is the class Linear; pass a trained Linear\(\.\.\.\)"),
        (lambda flow: nif.Watch(network(), X, 5), "every="),
        (lambda flow: flow.total.interval(95), "level is 95; expected a number between 0 and 1"),
        (lambda flow: nif.prune(network(), flow, X).save("small.pt"), "not as .pt; .*small.safetensors"),
    ],
)
def test_values_that_do_not_fit_are_answered_with_the_line(flow: nif.Flow, call: Any, instead: str) -> None:
    with pytest.raises(nif.InputError, match=instead):
        call(flow)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("explain", "importance"),
        ("mi", r"nif\.estimate"),
        ("mesure", "'measure'"),
    ],
)
def test_names_that_the_package_does_not_have(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=instead):
        getattr(nif, name)
    assert not hasattr(nif, name)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(nif.__path__)])
def test_modules_that_are_called_as_functions(name: str) -> None:
    """Whether something has imported them or not, such as `nif.report` by `flow.report`."""
    module = importlib.import_module(f"nif.{name}")
    assert getattr(nif, name) is module
    instead = (
        f"write {re.escape(guesses.OF_PACKAGE.get(name, ''))}" if name in guesses.OF_PACKAGE else "lists"
    )
    with pytest.raises(TypeError, match=rf"nif\.{name} is a module, not a function; .*{instead}"):
        module(X)


def test_modules_that_are_guesses_have_an_answer() -> None:
    # Names that nobody takes for a function of a model or flow.
    inner = {"__main__", "cli", "core", "data", "datasets"}
    assert {module.name for module in pkgutil.iter_modules(nif.__path__)} - inner <= set(guesses.OF_PACKAGE)


def test_names_of_a_watch_and_of_a_pruning(flow: nif.Flow) -> None:
    watch, small = nif.Watch(network(), X), nif.prune(network(), flow, X)
    for owner, name, instead in (
        (watch, "history", r"watch\.flows"),
        (watch, "importance", r"watch\.flows\[epoch\]"),
        (watch, "reprot", "'report'"),
        (small, "state_dict", r"small\.model"),
        (small, "removd", "'removed'"),
    ):
        with pytest.raises(AttributeError, match=instead):
            getattr(owner, name)
        assert not hasattr(owner, name)


def test_every_line_that_is_suggested_exists() -> None:
    """What follows `flow.`, `nif.`, `watch.` and `small.` in the answers."""
    owners = {"flow": nif.Flow, "nif": nif, "watch": nif.Watch, "small": nif.Pruned}
    texts = [text for table in vars(guesses).values() if isinstance(table, dict) for text in table.values()]
    texts = [re.sub("'[^']*'", "", text) for text in texts if isinstance(text, str)]  # without names of files
    found = [re.findall(r"\b(flow|nif|watch|small)\.(\w+)", text) for text in texts]
    named = {pair for pairs in found for pair in pairs}
    assert len(named) > 20
    for owner, name in named:
        fields = {
            each
            for base in getattr(owners[owner], "__mro__", ())
            for each in vars(base).get("__annotations__", ())
        }
        assert name in fields or hasattr(owners[owner], name), (owner, name)


def test_the_features_of_the_largest_shares(flow: nif.Flow) -> None:
    pd.testing.assert_frame_equal(flow.importance(1), flow.importance().head(1))


def test_the_interval_of_the_total(flow: nif.Flow) -> None:
    assert flow.total is not None
    half = flow.by_unit.deviations(0.9) * flow.total.stderr
    assert flow.total.interval(0.9) == pytest.approx((flow.total.nats - half, flow.total.nats + half))


def test_communities_may_be_called(flow: nif.Flow) -> None:
    assert flow.communities() is flow.communities


def test_a_report_without_a_path_is_opened(
    flow: nif.Flow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = flow.report()
    assert opened == [path.as_uri()] and path.parent == tmp_path
    assert capsys.readouterr().out == f"Written: {path}\n"
    assert "<html" in path.read_text("utf-8")
    assert flow.report(tmp_path / "flow.html") == tmp_path / "flow.html"
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("flow.pt", "flow.safetensors"),
        ("flow.HTML", "flow.report"),
        ("flow.csv", "flow.edges"),
        ("a.png", "flow.plot"),
        ("x.txt", r"not as \.txt; pass a path such as 'flow\.safetensors'"),
    ],
)
def test_a_file_of_another_format_is_not_written(
    flow: nif.Flow, tmp_path: Path, name: str, instead: str
) -> None:
    with pytest.raises(nif.InputError, match=instead):
        flow.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("currents", nif.Currents()),
        ("Association", nif.Association()),
        ("davis2019", nif.DAVIS2019),
        ("binned", nif.Association(nif.Binned())),
        ("gaussian", nif.Association(nif.GaussianCopula())),
        (nif.Currents, nif.Currents()),
        (nif.Binned, nif.Association(nif.Binned())),
    ],
)
def test_methods_by_name_and_without_parentheses(name: Any, method: Any) -> None:
    from nif.measures.chosen import chosen_measure

    assert chosen_measure(name) == method


def test_estimators_by_name() -> None:
    assert nif.Association("ksg").estimator == nif.Ksg()
    assert repr(nif.estimate(X[:, 0], Y, "binned")) == repr(nif.estimate(X[:, 0], Y, nif.Binned()))
    with pytest.raises(nif.InputError, match="Did you mean 'binned'"):
        nif.estimate(X[:, 0], Y, "bined")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nif.measure(network(), X, Y),
            r"method is of type Tensor.*Labels come with the data, as \(x, y\)",
        ),
        (lambda: nif.measure(network(), X, seed="0"), "seed is '0'; expected a whole number of 0 or more"),
        (lambda: nif.measure(network(), X, n_jobs="2"), "n_jobs is '2'"),
        (lambda: nif.measure(network(), X, memory=1.5), "memory is 1.5; expected a number of bytes"),
        (lambda: nif.Currents(rows="100"), "rows is '100'; expected a whole number"),
    ],
)
def test_arguments_of_other_types(call: Any, message: str) -> None:
    with pytest.raises(nif.InputError, match=message):
        call()


@pytest.mark.parametrize("name", ["labels", "y", "target", "decision", "rows"])
def test_options_of_the_method_are_answered_with_the_line_to_write(name: str) -> None:
    with pytest.raises(TypeError, match=r"pass (nif\.Currents\(|\(x, y\))|pass nif"):
        nif.measure(network(), X, **{name: Y})


def test_a_path_that_is_none(flow: nif.Flow) -> None:
    with pytest.raises(nif.InputError, match="path is 3; expected the name of a file"):
        flow.save(3)  # type: ignore[arg-type]
    with pytest.raises(nif.InputError, match="alpha is 'relu1'"):
        flow.neurons("relu1")  # type: ignore[arg-type]


def test_labels_of_another_order_than_that_of_the_outputs_are_doubted() -> None:
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = torch.tensor([[-4.0, 0.0], [4.0, 0.0]])
    few = nif.Currents(rows=40, backgrounds=16, paths=0)
    flow = nif.measure(net, (X, Y), few)
    with pytest.warns(UserWarning, match="in 0% of the rows, and would in 100% if 0 were 1, 1 were 0"):
        nif.measure(net, (X, 1 - Y), few)
    with pytest.warns(UserWarning, match="Are the classes numbered as in training") as doubts:
        nif.prune(net, flow, X, 1 - Y)
    assert doubts[0].filename == __file__
    with pytest.warns(UserWarning, match="Are the classes numbered as in training") as doubts:
        nif.compare(net, flow, X, 1 - Y, methods=["random ranking"], repeats=1)
    assert doubts[0].filename == __file__
