"""The demo: the network learns, tables fit and agree with the frames, files can be read."""

from __future__ import annotations

import importlib.util
import itertools
import math
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nif
from nif import datasets
from nif.cli import sections
from nif.cli.experiment.classifier import accuracy, classifier, train
from nif.cli.experiment.files import write
from nif.cli.experiment.published import PUBLISHED_TABLE, beside_published
from nif.cli.experiment.run import EXPERIMENTS, Run, run, tensors
from nif.cli.text import WIDTH, names, paragraph, table
from nif.comparison.compare import Comparison
from nif.core.errors import InputError
from nif.core.types import Layer, Links
from nif.flow.flow import Flow, example
from nif.flow.headline import headline
from nif.network.preserve import one_thread
from support.flows import current_flow
from support.known_flows import known_flow

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "made" / "by the demo"


SAID: list[str] = []


@pytest.fixture(scope="module")
def quick(short_published: None) -> Iterator[None]:
    """SHAP explains fewer rows too: no test looks at its digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nif.comparison.libraries.ROWS_EXPLAINED", 20)
        yield


@pytest.fixture(scope="module")
def iris(folder: Path, quick: None) -> Run:
    """The whole demo once, with the quick estimator."""
    return run(EXPERIMENTS["iris"], out=folder, estimator=nif.Binned(), progress=False, echo=SAID.append)


# The network


@pytest.mark.parametrize(("name", "at_least"), [("iris", 0.85), ("digits", 0.94)])
def test_network_learns(name: str, at_least: float) -> None:
    experiment = EXPERIMENTS[name]
    split = datasets.split(datasets.load(name), seed=1)
    sizes = (split.whole.x.shape[1], *experiment.hidden, len(split.whole.class_names))
    model = classifier(sizes, seed=1)
    with one_thread():  # several threads are slower on networks this small
        train(model, *tensors(split.train), epochs=experiment.epochs, seed=1)
    assert accuracy(model, *tensors(split.test)) >= at_least
    assert not model.training


def test_accuracy_counts_rows() -> None:
    x = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    assert accuracy(torch.nn.Identity(), x, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)


def test_same_seed_same_weights_and_no_global_draw() -> None:
    state = torch.random.get_rng_state()
    split = datasets.split(datasets.load("iris"), seed=0)
    made = []
    for seed in (5, 5, 6):
        made.append(classifier((4, 6, 3), seed=seed))
        train(made[-1], *tensors(split.train), epochs=3, seed=seed)
    first, again, other = (torch.cat([w.flatten() for w in model.parameters()]) for model in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_initial_weights_are_as_torch_draws_them() -> None:
    """Uniform between ±1/sqrt(inputs): torch's own rule, from another generator."""
    weight = classifier((400, 300, 2), seed=0)[0].weight.detach()
    assert float(weight.abs().max()) <= 1 / 20
    assert float(weight.std()) == pytest.approx(1 / 20 / math.sqrt(3), rel=0.01)


# Tables


def test_wide_table_is_cut_in_its_names_not_in_its_numbers() -> None:
    text = table({"name": ["x" * 200], "other": ["y" * 20], "nats": ["0.123456"]}, left=2)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[1].endswith("0.123456")
    assert "y" * 20 in lines[1]
    assert "…" in lines[1]


def test_table_of_many_columns_continues_below_with_its_names() -> None:
    text = table({"feature": ["a", "b"], **{f"class {i}": ["0.25", "-1.5"] for i in range(40)}})
    assert max(map(len, text.splitlines())) <= WIDTH
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert len(blocks) > 1
    assert all([line.split()[0] for line in block] == ["feature", "a", "b"] for block in blocks)
    assert sum(block[1].count("0.25") for block in blocks) == 40


def test_numbers_are_aligned_under_their_headers() -> None:
    lines = table({"unit": ["a", "longer"], "nats": ["0.31", "-10.02"], "rank": [1, 12]}).splitlines()
    assert lines == ["  unit      nats  rank", "  a         0.31     1", "  longer  -10.02    12"]


def test_table_without_rows_is_its_header() -> None:
    assert table({"unit": [], "nats": []}) == "  unit  nats"


def test_paragraph_keeps_names_whole() -> None:
    text = paragraph(names([f"row {i} column {i}" for i in range(10)], most=9))
    assert all(f"row {i} column {i}" in text for i in range(9))
    assert text.endswith("and 1 more")
    assert max(map(len, text.splitlines())) <= WIDTH


# Sections agree with the flow


@pytest.mark.slow
def test_every_line_fits(iris: Run) -> None:
    assert max(map(len, iris.text.splitlines())) <= WIDTH


@pytest.mark.slow
def test_links_are_shown_in_nats_strongest_first(iris: Run) -> None:
    first = iris.association.edges().nlargest(1, "nats").iloc[0]
    shown = sections.links(iris.association).splitlines()[1].split()
    assert shown[-3] == f"{first['nats']:.3f}"
    assert first["target_unit"] in shown[-4]


def test_attribution_is_shown_as_shares(iris: Run) -> None:
    nats = iris.association.attribution()
    best, whole = nats.sum(axis=1).idxmax(), nats.to_numpy().sum()
    shown = sections.attribution(iris.association).splitlines()[1]
    assert shown.split()[:2] == best.split()
    expected = [*nats.loc[best] / whole, nats.loc[best].sum() / whole]
    assert shown.split()[2:] == [f"{share:.1%}" for share in expected]


def test_attribution_over_skips_is_a_share_too() -> None:
    """Paths of different length have no unit in common."""
    chain = example()
    skip = Links(0, 2, *(np.full((2, 1), value) for value in (0.7, 0.01, 0.001, 0.7)))
    flow = Flow(chain.layers, (*chain.links, skip), chain.constant, chain.measurement)
    share = flow.attribution().loc["left", "yes"] / flow.attribution().to_numpy().sum()
    assert sections.attribution(flow).splitlines()[1].split() == ["left", f"{share:.1%}", f"{share:.1%}"]


def test_flow_without_information_has_no_share() -> None:
    chain = example()
    zero = tuple(Links(f.source, f.target, *[np.zeros_like(f.nats)] * 4) for f in chain.links)
    flow = Flow(chain.layers, zero, chain.constant, chain.measurement)
    assert "0.0%" in sections.attribution(flow)
    assert "0 communities" in sections.communities(flow)


def test_neurons_and_layers_say_what_is_silent() -> None:
    chain = example()
    constant = (np.zeros(2, bool), np.array([False, True]), np.zeros(1, bool))
    flow = Flow(chain.layers, chain.links, constant, chain.measurement)
    lines = {line.split()[0]: line for line in sections.neurons(flow).splitlines()}
    assert lines["hidden:h[1]"].endswith("silent")
    assert not lines["hidden:h[0]"].endswith("silent")
    hidden = next(line for line in sections.layers(flow).splitlines() if line.split()[0] == "hidden")
    assert hidden.split()[1:4] == ["2", "1", "1"]


def test_deep_network_of_many_communities_fits() -> None:
    rng = np.random.default_rng(0)
    widths = [40, 32, 32, 16, 3]
    layers = tuple(
        Layer(f"layer {n}", "ReLU", tuple(f"layer {n}[{i}]" for i in range(width)))
        for n, width in enumerate(widths)
    )
    links = tuple(
        Links(n, n + 1, *[rng.exponential(size=(a, b))] * 2, np.zeros((a, b)), np.ones((a, b)))
        for n, (a, b) in enumerate(itertools.pairwise(widths))
    )
    constant = tuple(np.zeros(width, bool) for width in widths)
    flow = Flow(layers, links, constant, example().measurement)
    for section in (sections.links, sections.attribution, sections.neurons, sections.communities):
        assert max(map(len, section(flow).splitlines())) <= WIDTH


def test_known_and_used_lists_features_and_outliers() -> None:
    used = current_flow([3, 4, 2], seed=1)
    table = nif.known_and_used(known_flow(used, [0.9, 0.3, 0.0, 0.3, 0.3, 0.0, 0.3, 0.3, 0.3]), used)
    table["outlier"] = ["ignored", "", "synergy", "", "", "synergy", ""]
    text = sections.known_and_used(table)
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:5]}
    assert set(lines) == {"input[0]", "input[1]", "input[2]", "relu1[2]"}
    assert lines["input[0]"][0] == "0.900" and lines["input[0]"][-1] == "ignored"
    assert lines["relu1[2]"][2] == f"{table['used'].loc['relu1', 'relu1[2]']:.3f}"
    assert "by what they tell: 1 of 7 units." in " ".join(text.split())
    assert text.endswith("tell alone: 2.")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_both_measures_stand_side_by_side(iris: Run) -> None:
    """The same currents in their own section and in the comparison."""
    share = iris.currents.attribution().sum(axis=1).abs()
    compared = iris.comparison.loc["currents", list(share.index)].astype(float)
    np.testing.assert_allclose(compared, share / share.sum())
    header = next(
        line for line in iris.text.splitlines() if line.startswith("  feature") and "raw MI" in line
    )
    assert header.index("currents") < header.index("association") < header.index("SHAP")
    for method in ("currents", "association"):
        row = iris.comparison.loc[method, ["ks", "ks_p_exact", "deletion", "insertion"]]
        assert row.notna().all()
        shown = next(line for line in iris.text.splitlines() if line.startswith(f"  {method}  "))
        assert f"{row['deletion']:.3f} ± " in shown and f"{row['insertion']:.3f} ± " in shown


# The README


def test_the_readme_shows_what_the_demo_prints(iris: Run) -> None:
    """To the digits that hold on every processor: a percent or two, and a unit of the last digit."""
    readme = importlib.util.spec_from_file_location("readme_demo", DOCS / "site" / "readme_demo.py")
    assert readme is not None and readme.loader is not None
    module = importlib.util.module_from_spec(readme)
    readme.loader.exec_module(module)
    shown, printed = (
        text.split() for text in (module.block(module.README.read_text("utf-8")), module.excerpt(iris.text))
    )
    assert len(shown) > 100 and len(shown) == len(printed)
    for there, here in zip(shown, printed, strict=True):
        numbers = [re.sub(r"[^0-9.-]", "", word) for word in (there, here)]
        if re.fullmatch(r"[(-]*[0-9.]+[%),.;]*", there):
            assert float(numbers[1].strip(".")) == pytest.approx(
                float(numbers[0].strip(".")), rel=0.03, abs=0.006
            )
        else:
            assert there == here


def test_the_demo_ends_with_the_page_to_open(iris: Run, folder: Path) -> None:
    assert SAID[-1] == f"\nOpen {folder / 'currents.html'} in a browser."
    words = " ".join(iris.text.split())
    assert headline(iris.currents) in words and "In short petal" in words


# The published table


def rows(**statistic: tuple[float, float, float]) -> Comparison:
    frame = pd.DataFrame.from_dict(statistic, orient="index", columns=["ks", "ks_p_asymptotic", "ks_p_exact"])
    return Comparison(frame)


def test_published_table_stands_beside_ours() -> None:
    ours = rows(**{row.ours: (0.5, 0.5311, 0.7714) for row in PUBLISHED_TABLE})
    lines = beside_published(ours).splitlines()
    assert lines[1].split() == ["NIF", "1.00", ".011", "0.50", ".531", ".771"]
    assert lines[2].split() == ["SHAP", "0.75", ".107", "0.50", ".531", ".771"]
    assert lines[3].split() == ["integrated", "gradients", "0.25", ".996", "0.50", ".531", ".771"]


def test_note_says_what_the_p_values_mean() -> None:
    ours = rows(**{row.ours: (0.5, 0.5, 0.5) for row in PUBLISHED_TABLE})
    note = " ".join(beside_published(ours).split())
    assert "contradicts the sentence above it" in note
    assert "A small p-value rejects" in note


def test_exact_p_values_of_the_note_are_right() -> None:
    """D = 1: 2 of the 70 ways to deal eight values into two sets of four; D = .75: 16 of them."""
    from scipy.stats import ks_2samp

    first = np.arange(4.0)
    assert ks_2samp(first, first + 10, method="exact").pvalue == pytest.approx(0.029, abs=5e-4)
    assert ks_2samp(first, first + 2.5, method="exact").statistic == 0.75
    assert ks_2samp(first, first + 2.5, method="exact").pvalue == pytest.approx(0.229, abs=5e-4)


# The whole run


def test_run_prints_every_part(iris: Run) -> None:
    for title in (
        "Network 4-10-3",
        "Association: what neurons tell of each other",
        "Currents: what the decision uses",
        "Known and used",
        "Links",
        "Attribution",
        "Neurons",
        "Structure",
        "Without neurons that the decision does not use",
        "Attribution by method",
        "Agreement and faithfulness",
        "The published table",
    ):
        assert f"\n{title}" in iris.text


def test_pruning_costs_no_more_than_asked(iris: Run) -> None:
    x, y = tensors(iris.split.train)
    assert accuracy(iris.pruned.model, x, y) >= accuracy(iris.model, x, y)


def test_every_file_is_there_and_can_be_read(iris: Run, folder: Path) -> None:
    written = [line.strip() for line in SAID[-2].split("Written\n")[1].splitlines()]
    assert sorted(written) == sorted(map(str, folder.iterdir()))
    for name, flow in (("association", iris.association), ("currents", iris.currents)):
        assert nif.load(folder / f"{name}.safetensors") == flow
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        attribution = pd.read_csv(folder / f"{name}_attribution.csv", index_col="feature")
        np.testing.assert_allclose(attribution, flow.attribution())
        assert len(pd.read_csv(folder / f"{name}_links.csv")) == 70
        assert (folder / f"{name}.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(pd.read_csv(folder / "comparison.csv")) == len(iris.comparison)
    assert (folder / "known_and_used.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(folder / "known_and_used.csv", index_col=["layer", "unit"])
    np.testing.assert_allclose(table["used"], nif.known_and_used(iris.known, iris.currents)["used"])
    assert (folder / "summary.txt").read_text(encoding="utf-8") == iris.text


@pytest.mark.parametrize("name", ["known_and_used.png", "summary.txt", "comparison.csv"])
def test_a_file_that_is_read_only_is_left_as_it_is(iris: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("kept")
    (tmp_path / name).chmod(0o444)
    with pytest.raises(InputError, match=rf"demo cannot be written to .*{name}, which is read-only"):
        write(iris, tmp_path)
    assert (tmp_path / name).read_text() == "kept"


@pytest.mark.slow
def test_same_seed_same_text_and_no_global_draw(iris: Run) -> None:
    before = torch.random.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    printed: list[str] = []
    again = run(EXPERIMENTS["iris"], estimator=nif.Binned(), progress=False, echo=printed.append)
    assert "\n".join(printed) + "\n" == again.text
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == pickle.dumps(np.random.get_state())  # noqa: NPY002
    first, second = (
        [line for line in text.splitlines() if "batch" not in line]  # a line with a time
        for text in (iris.text.partition("\nWritten\n")[0], again.text)
    )
    assert first == second


@pytest.mark.parametrize("hidden", [[], [0], [4, -1]])
def test_impossible_network_is_refused(hidden: list[int]) -> None:
    with pytest.raises(InputError, match="The hidden layers are"):
        run(EXPERIMENTS["iris"], hidden=hidden, echo=lambda text: None)


def test_unwritable_directory_is_refused_before_the_work(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    said: list[str] = []
    with pytest.raises(InputError, match="Cannot write to"):
        run(EXPERIMENTS["iris"], out=blocked / "below", echo=said.append)
    assert said == []


def test_missing_banknote_is_an_error_not_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIF_DATA", str(tmp_path))
    with pytest.raises(InputError, match="NIF_DATA"):
        run(EXPERIMENTS["banknote"], echo=lambda text: None)
