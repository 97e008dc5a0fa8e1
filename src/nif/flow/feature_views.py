"""What a flow says of the features: attributions, shares, and the answer in a sentence."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nif.core.arguments import checked_arguments, known_name
from nif.core.types import CurrentTables, Layer, SumErrors
from nif.core.unit import shown_in
from nif.flow import currents as of_currents
from nif.flow import headline, paths, tables

BY = ("share", "for", "absolute")
"""What features may be ordered by."""

OF_CLASS = {"class_name": "Links below 0 are for clip=, by name."}
OF_TOP = {"top": "One feature is flow.importance().loc[{}]; another order is by='for' or by='absolute'."}


class FeatureViews:
    """Methods of `nif.Flow` on its features."""

    layers: tuple[Layer, ...]
    currents: CurrentTables | None
    if TYPE_CHECKING:  # cached by a flow

        @cached_property
        def graph(self) -> paths.Dag: ...

        @cached_property
        def sum_errors(self) -> SumErrors: ...

    @checked_arguments()
    def summary(self, *, unit: str = "nats") -> str:
        """The answer in a few lines of text: which features carry how much, and how it was measured.

        Args:
            unit: ``"nats"`` or ``"bits"``, in which the text states information.

        Example:
            >>> from nif.flow.flow import example
            >>> print(example().summary().splitlines()[0])
            left carries 100 % ± 0 % of the attribution by association; none of 2 neurons is silent.
        """
        with shown_in(unit):
            return headline.summary(self)  # type: ignore[arg-type] # a flow

    @checked_arguments(hints=OF_CLASS)
    def attribution(self, class_name: str | int | None = None, *, clip: bool = True) -> pd.DataFrame:
        r"""Attribution of each feature to each class, summed over all paths (eq. 4).

        .. math:: A_{ij} = \sum_{\text{paths } i \to j} \; \prod_{\text{links on the path}} \text{nats}

        By currents, the current of the feature for the class: in nats, signed; the table sums to `total`.

        Args:
            class_name: A class, by name or number, whose column is returned; all if None.
            clip: Links of less than 0 nats (more redundant than relevant) count as 0. False keeps their sign;
                then two such links on one path make a positive product, which has no meaning.

        Returns:
            Features x classes. By association a path of d links has the unit nats^d: show `shares`.
            ``attrs["shape"]`` is that of an image of features: ``table["cat"].to_numpy().reshape(shape)``.

        Raises:
            InputError: There is no such class.

        References:
            Davis et al. (2019), https://arxiv.org/abs/1901.08557

        Example:
            >>> from nif.flow.flow import example
            >>> example().attribution().round(3)
            class   yes
            feature
            left    0.1
            right   0.0
        """
        known = self.currents
        sums = paths.attribution(self.graph, clip=clip) if known is None else known.attribution
        return tables.of_class(self._by_feature(sums), class_name)

    @checked_arguments(hints=OF_CLASS)
    def attribution_stderr(self, class_name: str | int | None = None, *, clip: bool = True) -> pd.DataFrame:
        r"""Standard error of `attribution`.

        .. math:: \operatorname{Var} A_{ij} \approx \frac1N \sum_s
            \Big( \sum_{u \to v} F_{iu} \, s_{uv} \, d_{uv}(s) \, B_{vj} \Big)^2

        It sums the influence of each row of data on all links (`nif.measures.association.errors`), to first
        order: accurate if errors are small compared with the links. With ``clip=False``, in a flow written by
        hand, and for the relevance of whole layers, links are taken as independent: mostly too small.

        Example:
            >>> from nif.flow.flow import example
            >>> print(example().attribution_stderr().loc["left", "yes"].round(4))
            0.0054
        """
        if self.currents is not None:
            errors = self.currents.attribution_stderr
        else:
            errors = self.sum_errors.attribution if clip else paths.attribution_stderr(self.graph, clip=False)
        return tables.of_class(self._by_feature(errors), class_name)

    def _by_feature(self, values: np.ndarray) -> pd.DataFrame:
        """Features x classes: those of the decision by currents, or else the outputs."""
        classes = None if self.currents is None else self.currents.classes
        return tables.by_feature(self.graph.features, self.layers, values, classes)

    @checked_arguments()
    def shares(self, *, by_class: bool = False) -> pd.DataFrame:
        r"""Share of each feature in the attribution to all classes, with its error; 0 if there is none.

        .. math:: s_i = \frac{\sum_j A_{ij}}{\sum_i \sum_j A_{ij}}

        ``by_class=True`` is a table of features x classes that adds up to 1, without errors.

        Example:
            >>> from nif.flow.flow import example
            >>> example().shares()["share"].to_dict()
            {'left': 1.0, 'right': 0.0}
        """
        if by_class:
            return self.attribution() / (self.attribution().to_numpy().sum() or 1.0)
        if self.currents is not None:
            shares = of_currents.shares(self.currents, self.graph.feature_count)
            return shares.set_index(self.attribution().index)
        table = self._by_feature(self.sum_errors.attribution)[[]]
        return table.assign(share=paths.shares(self.graph), stderr=self.sum_errors.shares)

    @checked_arguments(dict.fromkeys(("k", "n"), "write flow.importance(top=5)."), hints=OF_TOP)
    def importance(self, top: int | None = None, by: str = "share") -> pd.DataFrame:
        r"""The features from the most to the least important, with 95 % intervals of their shares.

        Args:
            top: The number of features to return; all if None. Shares are of the whole.
            by: What they are ordered by. ``"share"``: their size, for what tells of the decision; the shares
                of currents add up to 1. Of currents only, ``"for"``: the mean over rows of the positive part
                of a row's current, for what the network *needs*; a feature that removes the noise of another
                has a share of about 0, and is needed. ``"absolute"``: the mean size over rows, for what moves
                the decision either way.

                .. math:: A_i = \operatorname{E} \max\{0, c_i(X)\} =
                    (\operatorname{E} c_i + \operatorname{E} |c_i|) / 2

        Returns:
            By feature: ``share`` of the attribution to all classes (of currents: of the total, below 0 where
            the feature speaks against the decision), ``low`` and ``high``. They are about other rows, not
            about another training of the network. A last column, in nats, is what `by` names, if not the
            share; it has no error.

        Raises:
            InputError: `by` is none of the three, or the flow is one of association and `by` needs currents.

        Example:
            >>> from nif.flow.flow import example
            >>> example().importance().loc["left"].round(2).tolist()
            [1.0, 1.0, 1.0]
        """
        by, shares = known_name("by", by, BY), self.shares()
        half = headline.quantile(self.currents) * shares["stderr"]
        table = pd.DataFrame(
            {"share": shares["share"], "low": shares["share"] - half, "high": shares["share"] + half}
        )
        if by != "share":
            table[by] = of_currents.of_rows(self.currents, by, len(table))
        return table.iloc[np.argsort(-table[by].abs().to_numpy(), kind="stable")[:top]]
