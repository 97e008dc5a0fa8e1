"""The title of a report names the model, the data and the score, as far as they are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

import nif
from nif.data.rows import read
from nif.measures.described import data_name, described
from nif.network.network import Network


class Galaxies(Dataset[Any]):
    """Rows of two numbers, whose class is the sign of the first."""

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = torch.randn(2, generator=torch.Generator().manual_seed(index))
        return row, int(row[0] > 0)


def about(model: Any, data: Any) -> dict[str, Any]:
    network = Network.of(model)
    return described(network, data, read(data, network.signature))


def test_accuracy_is_that_of_the_classes_on_the_labels() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(3, 4), torch.randn(150, 3)
    y = torch.randint(0, 4, (150,))
    found = about(model, (x, y))
    assert found == {
        "model": "Linear",
        "score": "accuracy",
        "value": float((model(x).argmax(1) == y).double().mean()),
        "scored": 150,
    }


def test_of_numbers_it_is_the_share_of_the_variance() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(90, 3)
    y = torch.randn(90, 2)
    found = about(model, (x, y))
    expected = np.mean(r2_score(y.numpy(), model(x).detach().numpy(), multioutput="variance_weighted"))
    # One sum over both outputs, each about its own mean.
    assert found["score"] == "R²" and found["value"] == pytest.approx(expected, abs=1e-6)


def test_labels_in_words_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 2)).astype(np.float32)
    y = np.where(x[:, 0] > 0, "yes", "no")
    model = MLPClassifier((4,), max_iter=60, random_state=0, tol=1e9).fit(x, y)
    found = about(model, (x, y))
    assert found["model"] == "MLPClassifier" and found["value"] == pytest.approx(model.score(x, y))


def test_labels_in_words_are_those_of_class_names() -> None:
    model, names = nn.Linear(2, 3, bias=False), ("setosa", "virginica", "alba")  # not in alphabetical order
    model.weight.data = torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    x = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
    index = model(x).argmax(1)
    data = x, [names[i] for i in index]
    few = nif.Currents(rows=40, backgrounds=8, paths=0, decision="labels")
    named, numbered = (
        nif.measure(model, rows, few, class_names=names, progress=False) for rows in (data, (x, index))
    )
    assert named.measurement.about["value"] == 1 and named.total == numbered.total
    with pytest.warns(UserWarning, match="agree with the network in .* class_names in the order") as doubts:
        nif.measure(model, data, few, class_names=sorted(names), progress=False)
    with pytest.warns(UserWarning, match=r"No accuracy is stated\. .* text, such as .* class_names=") as lost:
        nif.measure(model, data, nif.Binned(), progress=False)
    assert {warning.filename for warning in (*doubts, *lost)} == {__file__}
    with pytest.raises(nif.InputError, match="class_names="):
        nif.measure(model, data, few, progress=False)


def test_several_answers_a_row_have_the_accuracy_of_answers() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid()), torch.randn(60, 3)
    y = (torch.rand(60, 4) < 0.5).float()
    found = about(model, (x, y))
    assert found["score"] == "accuracy of answers"
    assert found["value"] == pytest.approx(float(((model(x) > 0.5) == (y > 0.5)).double().mean()))


def test_without_labels_there_is_no_score() -> None:
    assert about(nn.Linear(2, 2), torch.randn(60, 2)) == {"model": "Linear"}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (torch.full((60,), 7), "The labels are 7 to 7; expected class"),
        (torch.randn(60, 3), "neither one class"),
    ],
)
def test_labels_that_do_not_fit_are_named_and_have_no_score(labels: torch.Tensor, reason: str) -> None:
    with pytest.warns(UserWarning, match=rf"No accuracy is stated\. .*{reason}"):
        assert about(nn.Linear(2, 2), (torch.randn(60, 2), labels)) == {"model": "Linear"}


def test_the_name_of_the_data() -> None:
    loader = DataLoader(Subset(Galaxies(), range(70)), batch_size=16)
    assert about(nn.Linear(2, 2), loader)["data"] == "Galaxies"
    frame = pd.DataFrame({"a": [1.0]})
    assert data_name(frame) == data_name([]) == ""
    frame.attrs["name"] = "iris"
    assert data_name((frame, [0])) == "iris"


def test_the_flow_and_its_file_keep_it_and_the_model_is_left_as_it_was(tmp_path: Any) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 2)).train(), torch.randn(60, 2)
    y = (x[:, 0] > 0).long()
    state = torch.get_rng_state()
    flow = nif.measure(model, (x, y), nif.Currents(backgrounds=4, steps=2), progress=False)
    assert model.training and torch.equal(state, torch.get_rng_state())
    without = nif.measure(model, x, nif.Currents(backgrounds=4, steps=2), progress=False)
    assert flow == without and without.measurement.about == {"model": "Sequential"}
    flow.save(tmp_path / "flow.safetensors")
    assert nif.load(tmp_path / "flow.safetensors").measurement.about == flow.measurement.about
    assert flow.measurement.about["score"] == "accuracy"
