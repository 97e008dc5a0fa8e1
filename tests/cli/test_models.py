"""Models that a factory returns: a network, or a fitted model of scikit-learn with its steps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nif
from nif.cli.main import main
from nif.cli.models import network
from nif.core.errors import InputError

FACTORY = """
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def make():
    table = pd.read_csv("data.csv")
    steps = make_column_transformer(
        (SimpleImputer(), ["size"]), (OneHotEncoder(sparse_output=False), ["colour"])
    )
    return make_pipeline(steps, MLPClassifier(4, max_iter=2000)).fit(table[["size", "colour"]], table["kind"])
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fitted.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("fitted", "loaded", "needing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    generator = np.random.default_rng(0)
    size, colour = generator.normal(size=120), generator.choice(["red", "green"], 120)
    kind = np.where(colour == "red", "warm", "cold")
    size[3] = np.nan
    pd.DataFrame({"size": size, "colour": colour, "kind": kind}).to_csv("data.csv", index=False)
    return tmp_path


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pipeline_is_measured_with_the_words_and_gaps_of_its_table(room: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["measure", "fitted:make", "data.csv", "--y", "kind", "--out", "flow.safetensors"])
    assert ended.value.code == 0
    flow = nif.load("flow.safetensors")
    shares = flow.importance()["share"]
    assert set(shares.index) == {"size", "onehotencoder__colour_green", "onehotencoder__colour_red"}
    assert shares.drop("size").sum() > 0.9
    assert flow.layers[-1].units == ("warm",)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_its_weights_are_its_own_and_its_layers_need_data(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="returned a Pipeline; expected a torch"):
        network("fitted:make", Path("weights.safetensors"))
    with pytest.raises(SystemExit):
        main(["layers", "fitted:make"])
    assert "Of a Pipeline pass a file of data" in capsys.readouterr().err


LOADED = """
import torch

class Lazy:
    def __getattr__(self, name):
        raise ValueError(name)

lazy = Lazy()

def added():
    return 1 + "a"

def loading():
    import nowhere

def sized(width):
    return torch.nn.Linear(width, 2)

class Stop(BaseException):
    pass

def stopping():
    raise Stop("enough")
"""


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("loaded:sized", "loaded:sized cannot be called without arguments"),
        ("loaded:added", r"loaded:added\(\) failed \(TypeError: unsupported operand"),
        ("loaded:loading", r"loaded:loading\(\) failed \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("loaded:stopping", r"loaded:stopping\(\) failed \(Stop: enough\)"),
        ("loaded:lazy.net", r"Looking up loaded:lazy.net failed \(ValueError"),
        ("needing:net", r"Importing needing failed \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("nowhere.nets:net", "Cannot import 'nowhere.nets' .* in the directory that contains it"),
        ("..:net", "Importing .. failed"),
    ],
)
def test_what_code_of_the_user_raises_is_a_sentence_about_it(room: Path, path: str, sentence: str) -> None:
    (room / "loaded.py").write_text(LOADED)
    (room / "needing.py").write_text("import nowhere")
    with pytest.raises(InputError, match=sentence):
        network(path, None)


def test_keys_that_are_no_names_are_refused(room: Path) -> None:
    torch.save({0: torch.ones(2)}, "keys.pt")
    (room / "loaded.py").write_text("import torch\nnet = torch.nn.Linear(3, 2)")
    with pytest.raises(InputError, match=r"keys.pt contains the key 0; expected names"):
        network("loaded:net", Path("keys.pt"))
