"""Printed tables hold every column, and names of paths in full; what is computed from them is as before."""

from __future__ import annotations

import pandas as pd
import pytest

from nif.flow.flow import Flow
from support.flows import current_flow, random_flow

FLOW: Flow = current_flow([3, 4, 4, 2], seed=0)


@pytest.mark.parametrize("flow", [FLOW, random_flow([3, 4, 2], seed=0)], ids=["currents", "association"])
@pytest.mark.parametrize("name", ["paths", "neurons", "silent", "edges"])
def test_every_column_is_printed(flow: Flow, name: str) -> None:
    table = getattr(flow, name)()
    with pd.option_context("display.width", 80, "display.max_columns", 4):
        printed = repr(table)
    assert all(column in printed for column in table.columns) and "..." not in printed.splitlines()[0]


def test_paths_are_printed_as_names_and_stay_tuples() -> None:
    table = FLOW.paths(k=2)
    names = " > ".join(unit for _, unit in table["path"].iloc[0])
    assert names in repr(table) and names.replace(">", "&gt;") in table._repr_html_()
    assert len(table["path"].iloc[0]) == 4 and "summary" in table.attrs


def test_a_small_p_value_does_not_change_how_the_others_are_printed() -> None:
    from nif.core.whole_table import WholeTable

    assert repr(WholeTable({"p": [0.25, 1e-12]})).split() == ["p", "0", "0.250", "1", "1.00e-12"]
