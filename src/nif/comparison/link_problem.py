"""The links of a network's linear modules: what flows through them, and the output without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from nif.comparison.problem import check_currents, frozen, one_table
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.measures.currents.currents import Currents
from nif.measures.currents.decisions import Bernoullis, Classes, Values, decided_by
from nif.measures.currents.information import Decided
from nif.network.decision import Decision
from nif.network.forward import Forward
from nif.network.network import Network
from nif.pipeline import measure

Sources = dict[str, Tensor]
"""What each linear module is given, ``[..., source]``, by its name."""

Masks = Mapping[str, Bool[Tensor, "target source"]]
"""Which links of each linear module are selected."""


@dataclass(frozen=True, eq=False)
class LinkProblem:
    """A trained network with its links, and the data to judge them on.

    Attributes:
        model: A copy in eval mode on the CPU, without gradients of its parameters.
        linears: Its linear modules that run, by their names in the model of the user; the links are their
            weights.
        decided: What its outputs decide.
        x: Features, on the scale the model was trained on.
        flow: The flow measured on it.
        currents: Returns its flow of currents, which is measured at the first call if it is not given.
        seed: Random seed.
    """

    model: nn.Module
    linears: Mapping[str, nn.Linear]
    decided: Decided
    x: Float[Tensor, "sample feature"]
    flow: Flow
    currents: Callable[[], Flow]
    seed: int

    @property
    def links(self) -> int:
        """Their number."""
        return sum(module.weight.numel() for module in self.linears.values())

    def outputs(self, x: Tensor) -> Float[Tensor, "sample output"]:
        """One column for each output."""
        values: Tensor = self.model(x)
        return values.reshape(len(values), -1)

    @property
    def of_values(self) -> bool:
        """Whether the model is a regressor."""
        return isinstance(self.decided, Values)

    def log_probabilities(self, outputs: Tensor) -> Float[Tensor, "sample outcome"]:
        """Of the outcomes of all decisions."""
        assert isinstance(self.decided, (Classes, Bernoullis))
        return self.decided.log_probabilities(outputs)

    def sources(self, x: Tensor) -> Sources:
        """What each linear module is given on some rows."""
        found: Sources = {}

        def keep(name: str, given: Tensor, returned: Tensor) -> None:
            found[name] = given.clone()

        with torch.no_grad(), hooked(self.linears, keep):
            self.model(x)
        return found

    def targets(self, x: Tensor) -> tuple[Sources, Float[Tensor, "sample output"]]:
        """What each linear module returns, and the output, with gradients."""
        found: Sources = {}

        def keep(name: str, given: Tensor, returned: Tensor) -> Tensor:
            found[name] = returned
            return returned.clone()  # which the next operation may write into

        with hooked(self.linears, keep):
            outputs = self.outputs(x.clone().requires_grad_())
        return found, outputs

    @torch.no_grad()
    def without(self, x: Tensor, kept: Masks, others: Sources) -> Float[Tensor, "sample output"]:
        """The output where the links that are not kept carry other activations of their sources."""

        def replaced(name: str, given: Tensor, returned: Tensor) -> Tensor:
            module = self.linears[name]
            rest = linear(others[name], module.weight * ~kept[name])
            return linear(given, module.weight * kept[name], module.bias) + rest

        with hooked(self.linears, replaced):
            return self.outputs(x)

    def divergence(self, outputs: Tensor, others: Tensor) -> Float[Tensor, " sample"]:
        """Of each row from its decision: Kullback-Leibler's, or the squared error over the variance."""
        if self.of_values:
            return ((outputs - others).square() / outputs.var(0)).sum(-1)
        known = self.log_probabilities(outputs)
        return (known.exp() * (known - self.log_probabilities(others))).sum(-1)

    def choices(self, outputs: Tensor) -> Tensor:
        """The most probable outcome of each decision of a row, ``[sample, decision]``."""
        logs, of = self.log_probabilities(outputs), torch.tensor(self.decided.independent)
        return torch.stack([logs[:, of == number].argmax(1) for number in range(int(of.max()) + 1)], dim=1)


@contextmanager
def hooked(
    modules: Mapping[str, nn.Linear], act: Callable[[str, Tensor, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call `act` with the name, input and output of each module that runs; what it returns is passed on."""
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(
                module.register_forward_hook(
                    lambda _, given, returned, name=name: act(name, given[0], returned)
                )
            )
        yield


def link_problem(
    model: Any,
    flow: Flow,
    x: Any,
    *,
    currents: Flow | None = None,
    output: int | str | None = None,
    seed: int = 0,
) -> LinkProblem:
    """Copy the network, find its linear modules and its decision, and check that flow and data fit.

    Raises:
        InputError: No linear module runs, or one runs twice; data of other features than the flow's.
    """
    if currents is not None:
        check_currents(currents, flow)
    known = currents or flow

    @cache
    def of_currents() -> Flow:
        if known.currents is not None:
            return known
        return measure(model, x, Currents(by_class=False), output=output, seed=seed, progress=False)

    given = Network.of(model)
    module = frozen(given)
    network, table = one_table(module, given.signature.prepared(x), output, flow)
    rows = torch.as_tensor(table).to(next(network.parameters(), torch.empty(0)).dtype)
    decision = Decision.of(Forward(network), (rows,), given.model)
    with torch.no_grad():
        outputs = network(rows).reshape(len(rows), -1)
    decided = decided_by(decision, outputs, None, 0.2, None)
    return LinkProblem(network, _running(module, network, rows), decided, rows, flow, of_currents, seed)


def _running(module: nn.Module, network: nn.Module, x: Tensor) -> dict[str, nn.Linear]:
    """The linear modules that run, in their order."""
    ran: list[str] = []
    found = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    with torch.no_grad(), hooked(found, lambda name, *_: ran.append(name)):
        network(x[:2])
    if not ran:
        raise InputError("No nn.Linear runs in the model, and its links are those of linear modules.")
    twice = sorted({name for name in ran if ran.count(name) > 1})
    if twice:
        raise InputError(
            f"The module {twice[0]!r} runs {ran.count(twice[0])} times for a row, so each of its links "
            "stands for several; compare the links of a network whose linear modules run once."
        )
    return {name: found[name] for name in ran}
