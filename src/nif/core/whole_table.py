"""Tables that are printed with all of their columns."""

from __future__ import annotations

import pandas as pd


class WholeTable(pd.DataFrame):
    """A table that prints all columns, in as many blocks of lines as they need, and paths as names of units.

    pandas leaves out columns in the middle, and the end of what is longer than 50 letters. What is computed
    from such a table is an ordinary one.

    Example:
        >>> WholeTable({"path": [(("input", "x"), ("relu1", "relu1[3]"), ("output", "yes"))]})
                           path
        0  x > relu1[3] > yes
    """

    @classmethod
    def of(cls, table: pd.DataFrame) -> WholeTable:
        """The table with its `attrs`."""
        made = cls(table)
        made.attrs = dict(table.attrs)
        return made

    def __repr__(self) -> str:
        three = "{:#.3g}".format  # one small p-value would bring whole columns to 1.8870e-01
        whole = ("display.max_columns", None, "display.max_colwidth", None, "display.float_format", three)
        with pd.option_context(*whole):
            return repr(self._named())

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.max_colwidth", None):
            return self._named()._repr_html_()  # type: ignore[operator]

    def _named(self) -> pd.DataFrame:
        if "path" not in self:
            return pd.DataFrame(self)
        return pd.DataFrame(self).assign(path=[" > ".join(unit for _, unit in path) for path in self["path"]])
