"""What was pruned, in the page: the units that went, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from nif.cli.main import nif
from nif.core.errors import InputError
from nif.pruning.prune import prune
from nif.pruning.result import PruningRecord, read_record
from nif.pruning.size import Size
from nif.report.pruning import pruning_content
from support.browsing import FLOW, column_of, facts, find, pixels_of
from support.pruning_cases import flow_of, network

TOLD = PruningRecord(
    removed=pd.DataFrame(
        [("relu1", "relu1[4]", 4, "cut"), ("relu2", "relu2[0]", 0, "zeroed")],
        columns=["layer", "unit", "index", "how"],
    ),
    restored=pd.DataFrame(
        [("relu1", "relu1[7]", 7, "the score would fall too far")],
        columns=["layer", "unit", "index", "reason"],
    ),
    score_before=0.97,
    score_after=0.96,
    score="accuracy",
    size_before=Size(1200, 2400, 4800, 0.5),
    size_after=Size(900, 1800, 3600, 0.25),
    notes=("A layer was zeroed.",),
)


def rows_of(page: Any, table: str) -> list[list[str]]:
    rows = page.locator(f"#pruning [aria-label='{table}'] tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def test_the_score_held_out_has_a_row(show: Any) -> None:
    page = show(FLOW, pruned=replace(TOLD, held_out=(0.95, 0.925)))
    page.click("#tab-pruning")
    rows = rows_of(page, "Cost of pruning")
    assert rows[:2] == [
        ["accuracy", "0.97", "0.96", "−0.01"],
        ["held-out accuracy", "0.95", "0.925", "−0.025"],
    ]
    assert rows[2][0] == "parameters"


def test_a_change_of_time_within_its_spread_is_no_change(show: Any) -> None:
    sizes = {
        "size_before": Size(1200, 2400, 4800, 0.5, 0.02),
        "size_after": Size(900, 1800, 3600, 0.47, 0.02),
    }
    page = show(FLOW, pruned=replace(TOLD, **sizes))
    page.click("#tab-pruning")
    last = ["milliseconds per batch", "0.5 ± 0.02", "0.47 ± 0.02", "within the spread"]
    assert rows_of(page, "Cost of pruning")[-1] == last
    faster = replace(sizes["size_after"], milliseconds=0.45)
    found = pruning_content(replace(TOLD, **sizes | {"size_after": faster}), FLOW.layers)
    assert found["cost"][-1][-1] == "−10 %"


def test_the_page_tells_what_went_and_what_it_costs(show: Any) -> None:
    page = show(FLOW, pruned=TOLD)
    page.click("#tab-pruning")
    assert "2 units removed, 1 restored" in page.inner_text("#pruning")
    assert rows_of(page, "Cost of pruning") == [
        ["accuracy", "0.97", "0.96", "−0.01"],
        ["parameters", "1,200", "900", "−25 %"],
        ["operations per row", "2,400", "1,800", "−25 %"],
        ["bytes of the file", "4,800", "3,600", "−25 %"],
        ["milliseconds per batch", "0.5", "0.25", "−50 %"],
    ]
    assert rows_of(page, "Pruned units by layer") == [
        ["relu1", "10", "1", "9", "1"],
        ["relu2", "6", "1", "5", "0"],
    ]
    assert column_of(page, "gone", 2) == ["relu1[4]", "relu2[0]", "relu1[7]"]
    assert column_of(page, "gone", 3) == ["cut out", "zeroed", "restored: the score would fall too far"]
    table = FLOW.neurons()
    for unit, said in zip(column_of(page, "gone", 2), column_of(page, "gone", 4), strict=True):
        assert float(said) == pytest.approx(table.loc[(unit[:5], unit), "inflow"], abs=6e-4)
    assert "A layer was zeroed." in page.inner_text("#pruning")


def test_removed_units_can_be_crossed_out(show: Any) -> None:
    page = show(FLOW, pruned=TOLD)
    before = pixels_of(page, "#base")
    page.check("#removed")
    changed = (pixels_of(page, "#base") != before).any(axis=-1)
    assert changed.any()
    across = changed.any(axis=0).nonzero()[0] / changed.shape[1]
    assert 0.25 < across.min() < 0.5 < across.max() < 0.75  # two crosses, in the two hidden layers
    page.uncheck("#removed")
    assert (pixels_of(page, "#base") == before).all()


def test_the_pinned_neuron_says_what_became_of_it(show: Any) -> None:
    page = show(FLOW, pruned=TOLD)
    for unit, said in (("relu1[4]", "removed"), ("relu1[7]", "restored"), ("relu1[1]", "kept")):
        find(page, unit)
        assert facts(page)["pruning"] == said


def test_without_a_pruning_nothing_is_said_of_it(show: Any) -> None:
    page = show(FLOW)
    assert not page.is_visible("#tab-pruning") and not page.is_visible("#removed")
    find(page, "relu1[4]")
    assert "pruning" not in facts(page)
    page.focus("#tab-layers")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#neurons")


def test_a_file_tells_what_the_pruning_did(tmp_path: Path) -> None:
    model, x, _, layers = network("chain")
    small = prune(model, flow_of(model, x, layers), x, remove=0.3, tolerance=None)
    small.save(tmp_path / "small.safetensors")
    again = read_record(tmp_path / "small.safetensors")
    pd.testing.assert_frame_equal(again.removed, small.removed)
    pd.testing.assert_frame_equal(again.put_back, small.put_back, check_dtype=False)
    assert (again.score, again.score_before, again.score_after, again.notes) == (
        small.score, small.score_before, small.score_after, small.notes,
    )  # fmt: skip
    assert (again.size_before, again.size_after) == (small.size_before, small.size_after)


def test_the_command_shows_the_pruning(tmp_path: Path) -> None:
    model, x, _, layers = network("chain")
    flow = flow_of(model, x, layers)
    flow.save(tmp_path / "flow.safetensors")
    prune(model, flow, x, remove=0.3, tolerance=None).save(tmp_path / "small.safetensors")
    given = ["report", "flow.safetensors", "-o", "flow.html", "--pruned", "small.safetensors"]
    done = CliRunner().invoke(nif, [str(tmp_path / each) if "." in each else each for each in given])
    assert done.exit_code == 0, done.output
    assert '"how": ["cut"' in (tmp_path / "flow.html").read_text("utf-8")


def test_a_pruning_of_another_network_is_refused(tmp_path: Path) -> None:
    for column, other in (("layer", "relu7"), ("index", 9), ("unit", "relu1[5]")):
        removed = TOLD.removed.assign(**{column: [other, *TOLD.removed[column][1:]]})
        with pytest.raises(InputError, match="which this flow does not have"):
            FLOW.report(tmp_path / "flow.html", pruned=replace(TOLD, removed=removed))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_tells_of_no_pruning_is_refused(tmp_path: Path) -> None:
    FLOW.save(tmp_path / "flow.safetensors")
    with pytest.raises(InputError, match="has no pruning record"):
        read_record(tmp_path / "flow.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(InputError, match="Cannot read"):
        read_record(tmp_path / "text.safetensors")
