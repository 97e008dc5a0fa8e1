"""Networks that scikit-learn holds in pipelines, searches and transformed targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch.utils.data import DataLoader, TensorDataset

import nif
from nif.core.errors import InputError
from nif.data.rows import read
from nif.network.network import Network

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(150, 3)) * [1, 30, 900] + [0, 5, 2000], columns=["a", "b", "c"])
LABELS = np.where(TABLE["a"] + TABLE["b"] / 30 > 0, "yes", "no")
MIXED = TABLE.assign(sex=RNG.choice(["f", "m"], size=150))

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(**options: Any) -> MLPClassifier:
    return MLPClassifier((4,), max_iter=150, random_state=0, **options)


def fitted(model: Any, x: Any = TABLE, y: Any = LABELS) -> Any:
    return clone(model).fit(x, y)


def outputs(model: Any, data: Any) -> tuple[np.ndarray, Any]:
    found = Network.of(model)
    rows = read(data, found.signature)
    with torch.no_grad():
        return found.forward(rows)(rows.inputs).numpy(), rows


def search(inside: Any, **grid: Any) -> GridSearchCV:
    return GridSearchCV(inside, grid, cv=2)


MODELS = {
    "pipeline": make_pipeline(StandardScaler(), network()),
    "two steps": make_pipeline(StandardScaler(), PCA(2), network()),
    "passthrough": make_pipeline("passthrough", StandardScaler(), network()),
    "pipelines": make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), network())),
    "search": search(network(), alpha=[1e-4, 1e-2]),
    "search of a pipeline": search(make_pipeline(StandardScaler(), network()), mlpclassifier__alpha=[1e-4]),
    "pipeline of a search": make_pipeline(StandardScaler(), search(network(), alpha=[1e-4])),
}


@pytest.mark.parametrize("kind", MODELS)
def test_outputs_are_those_of_the_whole(kind: str) -> None:
    model = fitted(MODELS[kind])
    found, rows = outputs(model, (TABLE, LABELS))
    np.testing.assert_allclose(found[:, 0], model.predict_proba(TABLE)[:, 1], atol=1e-12)
    assert rows.labels.tolist() == LABELS.tolist()
    assert Network.of(model).class_names == ("no", "yes")


def test_data_of_any_kind_go_through_the_steps() -> None:
    model = fitted(MODELS["pipeline"])
    expected = model.predict_proba(TABLE)[:, 1]
    tensor, labels = torch.tensor(TABLE.to_numpy()), torch.arange(150) % 2
    for data in (
        TABLE.to_numpy(),
        tensor,
        TABLE.to_numpy().tolist(),
        TensorDataset(tensor, labels),
        DataLoader(TensorDataset(tensor, labels), batch_size=40),
    ):
        found, rows = outputs(model, data)
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)
        assert rows.feature_names == ("a", "b", "c")
        again, _ = outputs(model, rows)  # rows that were read are not transformed twice
        np.testing.assert_array_equal(again, found)


def test_features_have_the_name_of_the_column_that_they_are() -> None:
    columns = ColumnTransformer([("n", StandardScaler(), ["a", "b", "c"]), ("s", OneHotEncoder(), ["sex"])])
    model = fitted(make_pipeline(columns, network()), MIXED)
    flow = nif.measure(model, MIXED, nif.Currents(rows=64), progress=False)
    assert list(flow.attribution().index) == ["a", "b", "c", "s__sex_f", "s__sex_m"]
    found, _ = outputs(model, MIXED)
    np.testing.assert_allclose(found[:, 0], model.predict_proba(MIXED)[:, 1], atol=1e-12)
    by_parts = fitted(MODELS["two steps"])
    flow = nif.measure(by_parts, TABLE, nif.Binned(), progress=False)
    assert list(flow.attribution().index) == ["pca0", "pca1"]


def test_the_flow_is_that_of_the_network_on_the_rows_that_reach_it() -> None:
    model = fitted(MODELS["search of a pipeline"])
    whole = nif.measure(model, TABLE, nif.Binned(), progress=False)
    scaler, last = model.best_estimator_[0], model.best_estimator_[-1]
    inner = nif.measure(last, scaler.transform(TABLE), nif.Binned(), progress=False)
    np.testing.assert_array_equal(whole.attribution().to_numpy(), inner.attribution().to_numpy())


def test_targets_are_on_the_scale_of_the_network() -> None:
    target = 1000 * TABLE["a"] + 5
    inside = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=150)
    )
    model = fitted(TransformedTargetRegressor(inside, transformer=StandardScaler()), TABLE, target)
    found, rows = outputs(model, (TABLE, target))
    np.testing.assert_allclose(rows.labels[:, 0], (target - target.mean()) / target.std(ddof=0), atol=1e-12)
    back = model.transformer_.inverse_transform(found.reshape(-1, 1))
    np.testing.assert_allclose(back[:, 0], model.predict(TABLE), atol=1e-9)


def test_compared_on_the_rows_that_reach_the_network() -> None:
    model = fitted(MODELS["pipeline"])
    flow = nif.measure(model, TABLE, nif.Binned(), progress=False)
    whole = nif.compare(model, flow, TABLE, LABELS, methods=["raw MI", "association"], repeats=3)
    inner = nif.compare(
        model[-1], flow, model[0].transform(TABLE), LABELS, methods=["raw MI", "association"], repeats=3
    )
    pd.testing.assert_frame_equal(whole, inner)


def test_pruned_through_the_steps() -> None:
    model = fitted(MODELS["pipeline"])
    flow = nif.measure(model, TABLE, nif.Binned(), progress=False)
    small = nif.prune(model, flow, (TABLE, LABELS), remove=0.25, tolerance=None, progress=False)
    assert small.score_before == pytest.approx(model.score(TABLE, LABELS)) and len(small.removed) == 1


def test_what_is_not_fitted_or_does_not_fit_is_named() -> None:
    for kind in ("search", "pipeline"):
        with pytest.raises(InputError, match="has not been fitted; call its fit method first"):
            Network.of(MODELS[kind])
    with pytest.raises(InputError, match=r"shape \[150, 2\]; the pipeline was fitted on 3 columns: a, b, c"):
        outputs(fitted(MODELS["pipeline"]), TABLE.to_numpy()[:, :2])
    with pytest.raises(InputError, match="The step StandardScaler before the network does not take"):
        outputs(fitted(MODELS["pipeline"]), TABLE[["a", "b"]])
    with pytest.raises(InputError, match="type LogisticRegression; expected a torch"):
        Network.of(fitted(make_pipeline(StandardScaler(), LogisticRegression())))


def test_columns_in_another_order_than_in_training_or_in_the_flow_are_refused() -> None:
    """Columns are taken by position, as in torch, so that their names would be wrong without a word."""
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=list("abc"))
    y, moved = (x["a"] > 0).astype(int), x[["c", "a", "b"]]
    few = nif.Currents(rows=40, backgrounds=40, paths=0)
    fitted = MLPClassifier((4,), max_iter=20, tol=1e9, random_state=0).fit(x, y)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    flow = nif.measure(network, x, few)
    calls: list[tuple[str, Any]] = [
        ("training", lambda: nif.measure(fitted, moved, few)),
        ("training", lambda: nif.measure(fitted, (moved, y), few)),
        ("training", lambda: nif.measure(fitted, x, few, background=moved)),
        ("the data", lambda: nif.measure(network, x, few, explain=moved)),
        ("the flow", lambda: nif.prune(network, flow, moved, y)),
        ("the flow", lambda: nif.prune(network, flow, x, y, held_out=(moved, y))),
        ("the flow", lambda: nif.compare(network, flow, moved, y)),
        ("the flow", lambda: nif.compare_links(network, flow, moved)),
    ]
    for known, call in calls:
        with pytest.raises(InputError, match=f"are those of {known} in another order: c, a, b and a, b, c"):
            call()
    renamed = x.rename(columns={"a": "height"})
    assert nif.measure(fitted, renamed, few).layers[0].units == ("height", "b", "c")
