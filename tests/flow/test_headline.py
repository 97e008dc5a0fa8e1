"""The answer in a sentence, against values computed by hand."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

import nif
from nif.flow.flow import example
from nif.flow.headline import ERRORS, _together, headline, summary
from support.flows import current_flow


def network(*weights: float) -> nn.Sequential:
    """One output: the sum of ReLUs of features times weights; the last unit reads nothing."""
    count = len(weights)
    net = nn.Sequential(nn.Linear(count, count + 1), nn.ReLU(), nn.Linear(count + 1, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net[0].weight[:count] = torch.diag(torch.tensor(weights))
        net[2].weight[1, :count] = 1.0
    return net


X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def flow() -> nif.Flow:
    return nif.measure(network(4.0, 2.0, 0.0), X, nif.Currents(paths=0), progress=False)


def test_the_sentence_names_what_carries_most_and_counts_silent_neurons(flow: nif.Flow) -> None:
    text = headline(flow)
    share, error = (float(number) for number in re.findall(r"(\d+) %", text))
    deviations = flow.currents.units[0].deviations  # type: ignore[union-attr]
    assert flow.total is not None and deviations is not None
    together = flow.shares()["share"].iloc[[0, 1]].sum()
    assert text.startswith("x1 and x2 carry" if share > 90 else "x1 carries")
    named = [0, 1] if share > 90 else [0]
    assert share == round(100 * (together if share > 90 else flow.shares()["share"].iloc[0]))
    expected = 100 * np.linalg.norm(deviations[:, named].sum(1)) / flow.total.nats
    assert error == round(expected)
    assert f"of the {flow.total.nats:.2f} nats that decide" in text
    assert text.endswith(
        "2 of 4 neurons are silent."
    )  # of the unused feature, and the one that reads nothing


def test_the_summary_says_what_its_errors_are(flow: nif.Flow) -> None:
    lines = flow.summary().splitlines()
    assert lines[2].split() == ["feature", "share", "±", "stderr", "95", "%", "interval"]
    assert lines[6] == ERRORS


def test_no_error_of_the_summary_is_rounded_to_0() -> None:
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    wide = nif.measure(network(8.0, 0.02, 0.0), x, nif.Currents(paths=0, backgrounds=8), progress=False)
    small = wide.shares()["stderr"].iloc[1]
    assert 0 < small < 0.0005
    assert f" {small:.2%} " in wide.summary()


def test_features_together_have_an_error_of_their_own(flow: nif.Flow) -> None:
    """All features together are the whole, without error, though each has one."""
    wide = nif.measure(network(1.0, 1.0), X[:, :2], nif.Currents(paths=0), progress=False)
    assert headline(wide).startswith("x1 and x2 carry 100 % ± ") or headline(wide).startswith("x2 and x1")
    assert (wide.shares()["stderr"] > 0.01).all()


def test_a_network_that_decides_nothing_says_so() -> None:
    flow = nif.measure(network(0.0, 0.0), X[:, :2], nif.Currents(paths=0), progress=False)
    assert (
        headline(flow)
        == "The total of 0.000 ± 0.000 nats cannot be distinguished from 0: nothing is shown to decide."
    )


def test_intervals_of_the_summary_are_those_of_importance(flow: nif.Flow) -> None:
    table = flow.importance()
    assert list(table.index[:2]) == ["x1", "x2"]
    assert (table["low"] <= table["share"]).all() and (table["share"] <= table["high"]).all()
    assert table.loc["x3"].tolist() == [0.0, 0.0, 0.0]
    shares = flow.shares().loc["x1"]
    degrees = flow.currents.degrees  # type: ignore[union-attr]
    from scipy import stats

    assert table.loc["x1", "high"] - table.loc["x1", "share"] == pytest.approx(
        stats.t.ppf(0.975, degrees) * shares["stderr"]
    )
    lines = summary(flow).splitlines()
    assert lines[0] == headline(flow)
    assert lines[3].split()[:2] == ["x1", f"{table.loc['x1', 'share']:.1%}"]


def test_a_share_above_the_whole_is_explained(flow: nif.Flow) -> None:
    """x2 undoes a part of what x1 says: what x1 carries alone is more than the total."""
    x1 = X[:, :1]
    x = torch.cat([x1, -0.8 * x1 + 0.1 * X[:, 1:2]], dim=1)
    against = nif.measure(network(4.0, 2.0), x, nif.Currents(paths=0), progress=False)
    assert against.shares()["share"].min() < -0.02
    said = r"x1 carries \d{3} % ± \d+ % of the 0.\d\d nats that decide \(others speak against the decision\);"
    assert re.match(said, headline(against))
    assert "others" not in headline(flow)


def test_many_features_are_cut_and_counted() -> None:
    x = torch.randn(120, 14, generator=torch.Generator().manual_seed(1))
    flow = nif.measure(nn.Linear(14, 2), x, nif.Currents(paths=0), progress=False)
    assert "… 4 more features: flow.importance()" in summary(flow)
    assert "it has no hidden neurons" in headline(flow)


def test_a_total_below_0_says_that_labels_may_be_numbered_otherwise() -> None:
    x = X[:, :2]
    wrong = 1 - network(4.0, 2.0)(x).argmax(1)
    with pytest.warns(UserWarning, match="numbered as in training"):
        flow = nif.measure(network(4.0, 2.0), (x, wrong), nif.Currents("labels", paths=0), progress=False)
    assert flow.total is not None and flow.total.nats < 0
    assert "below 0" in headline(flow) and "numbered as in training" in headline(flow)


def test_a_row_in_place_of_its_number_is_refused(flow: nif.Flow) -> None:
    with pytest.raises(nif.InputError, match=r"row is of type Tensor; .*flow\.rows.*explain="):
        flow.local(X[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [[1, 2, 3], [10, 20, 30], ["b", "c", "d"]])
def test_labels_are_the_classes_of_a_fitted_model_also_where_some_are_absent(names: list[object]) -> None:
    """Labels 1 and 2 of the classes 1 to 3 are the first and the second, not the second and the third."""
    x = X.numpy()
    number = (x[:, 0] > 0).astype(int) + (x[:, 1] > 1)
    rows = number < 2
    totals = []
    for labels in (number, np.array(names)[number]):
        model = MLPClassifier((6,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0).fit(x, labels)
        method = nif.Currents("labels", paths=0, backgrounds=8)
        totals.append(nif.measure(model, (x[rows], labels[rows]), method, progress=False).total)
    assert totals[0] is not None and totals[1] is not None
    assert totals[0].nats == totals[1].nats > 0


def test_what_removes_the_noise_of_another_is_needed() -> None:
    signal, noise, small = X.T
    few = nif.Currents(rows=200, backgrounds=16, steps=8, paths=0)
    x, model = torch.stack([signal + noise, noise, small], 1), nn.Linear(3, 1)
    model.weight.data = torch.tensor([[1.0, -1.0, 0.4]])
    flow = nif.measure(model, x, few, progress=False)
    assert list(flow.importance().index) == ["x1", "x3", "x2"]
    weights, currents = np.asarray(flow.local().attrs["weights"]), flow.local().to_numpy()
    for by, of_rows in (("for", np.maximum(currents, 0)), ("absolute", np.abs(currents))):
        table = flow.importance(by=by)
        assert list(table.index) == ["x1", "x2", "x3"] and list(table.columns) == ["share", "low", "high", by]
        np.testing.assert_allclose(table[by], weights @ of_rows, rtol=1e-4)


def test_what_features_cannot_be_ordered_by_is_refused() -> None:
    with pytest.raises(nif.InputError, match=r"by names 'size'\. There are: share, for, absolute"):
        example().importance(by="size")
    with pytest.raises(nif.InputError, match="ordered by 'share', not by 'for'"):
        example().importance(by="for")


def test_of_a_flow_whose_file_names_no_layer_input_the_error_is_unknown() -> None:
    flow = current_flow([2, 3, 2])
    layers = tuple(replace(layer, kind="hidden") for layer in flow.layers)
    assert _together(replace(flow, layers=layers), 2)[1] is None
