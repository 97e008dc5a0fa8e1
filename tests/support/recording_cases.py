"""Networks to record, with the layers and connections to be found in them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from support.networks import (
    Attention,
    Decides,
    Dense,
    FunctionalMLP,
    ResidualMLP,
    ResNet,
    Reused,
    TwoOutputs,
    Views,
    ViT,
    conv1d,
    custom_activation,
    in_place,
    lenet,
    nested_chain,
)

ROWS = 60


@dataclass(frozen=True)
class Case:
    """A network with what is to be found: layers by name and number of units, and which feeds which."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layers: dict[str, int]
    feeds: set[tuple[str, str]]
    options: dict[str, Any] = field(default_factory=dict)
    warns: str = ""

    def model(self) -> nn.Module:
        """The network, with the same random weights each time, in train mode as users leave it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build().train()

    def inputs(self) -> Tensor:
        return torch.randn(ROWS, *self.shape, generator=torch.Generator().manual_seed(1))


def chained(*names: str) -> set[tuple[str, str]]:
    """Each feeds the next, from input to output."""
    every = ("input", *names, "output")
    return set(pairwise(every))


def of_type(kind: torch.dtype) -> Callable[[], nn.Module]:
    return lambda: nested_chain().to(kind)


CHAIN = {"input": 4, "0.2": 6, "1.1": 6, "output": 3}
CHAIN_FEEDS = chained("0.2", "1.1")


def compiled(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on import of its compiler
        return torch.compile(model)  # type: ignore[return-value]


def compiled_part() -> nn.Module:
    model = nested_chain()
    model[1].compile()
    return model


CASES = {
    "plain chain": Case(nested_chain, (4,), CHAIN, CHAIN_FEEDS),
    "reused module": Case(
        Reused,
        (4,),
        {"input": 4, "act": 5, "act#2": 6, "act#3": 7, "output": 2},
        chained("act", "act#2", "act#3"),
    ),
    "in-place": Case(
        in_place, (4,), {"input": 4, "1": 5, "2": 5, "3": 5, "output": 2}, chained("1", "2", "3")
    ),
    "functional": Case(
        FunctionalMLP,
        (4,),
        {"input": 4, "relu": 5, "relu#2": 6, "tanh": 7, "output": 2},
        chained("relu", "relu#2", "tanh"),
    ),
    "residual": Case(
        ResidualMLP,
        (4,),
        {"input": 4, "first": 5, "inner": 5, "last": 5, "output": 2},
        chained("first", "inner", "last") | {("first", "last")},
    ),
    "concatenation": Case(
        lambda: Dense(4, 3, 5, 2),
        (4,),
        {"input": 4, "r1": 3, "r2": 5, "output": 2},
        chained("r1", "r2") | {("input", "r2"), ("input", "output"), ("r1", "output")},
    ),
    "LeNet": Case(
        lenet, (1, 8, 8), {"input": 64, "1": 4, "4": 6, "8": 8, "output": 3}, chained("1", "4", "8")
    ),
    "ResNet": Case(
        ResNet,
        (3, 8, 8),
        {
            **{"input": 192, "relu": 4, "layer1.relu": 4, "layer1.relu#2": 4},
            **{"layer2.relu": 6, "layer2.relu#2": 6, "output": 3},
        },
        chained("relu", "layer1.relu", "layer1.relu#2", "layer2.relu", "layer2.relu#2")
        | {("relu", "layer1.relu#2"), ("layer1.relu#2", "layer2.relu#2")},
    ),
    "two outputs": Case(
        TwoOutputs, (4,), {"input": 4, "act": 5, "output": 3}, chained("act"), options={"output": 0}
    ),
    "second output": Case(
        TwoOutputs,
        (4,),
        {"input": 4, "act": 5, "act_second": 6, "output": 2},
        chained("act", "act_second"),
        options={"output": -1},
    ),
    "float16": Case(of_type(torch.float16), (4,), CHAIN, CHAIN_FEEDS),
    "bfloat16": Case(of_type(torch.bfloat16), (4,), CHAIN, CHAIN_FEEDS),
    "float64": Case(of_type(torch.float64), (4,), CHAIN, CHAIN_FEEDS),
    "compiled": Case(lambda: compiled(nested_chain()), (4,), CHAIN, CHAIN_FEEDS),
    "compiled part": Case(compiled_part, (4,), CHAIN, CHAIN_FEEDS),
    "DataParallel": Case(lambda: nn.DataParallel(nested_chain()), (4,), CHAIN, CHAIN_FEEDS),
    "data decide the path": Case(
        Decides,
        (4,),
        {"input": 4, "act_a": 5, "act_b": 5, "output": 2},
        chained("act_a", "act_b"),
        warns="chooses its path by the data .* hooks",
    ),
    "custom activation": Case(custom_activation, (4,), {"input": 4, "1": 5, "output": 2}, chained("1")),
    "Conv1d": Case(conv1d, (2, 7), {"input": 14, "1": 5, "output": 2}, chained("1")),
    "views, buffers, numpy": Case(
        Views,
        (4,),
        {"input": 4, "relu": 3, "tanh": 6, "output": 2},
        chained("relu", "tanh") | {("input", "tanh")},
    ),
}


def vit_case(*, batch_first: bool) -> Case:
    blocks = [f"encoder.layers.{depth}" for depth in (0, 1)]
    attention, gelu = [f"{block}.self_attn" for block in blocks], [f"{block}.gelu" for block in blocks]
    return Case(
        lambda: ViT(batch_first=batch_first),
        (1, 8, 8),
        {"input": 64, attention[0]: 8, gelu[0]: 12, attention[1]: 8, gelu[1]: 12, "output": 3},
        chained(attention[0], gelu[0], attention[1], gelu[1])
        # Around attention and around the multilayer perceptron of each block runs a residual branch.
        | {("input", gelu[0]), ("input", attention[1]), ("input", gelu[1]), ("input", "output")}
        | {(attention[0], attention[1]), (attention[0], gelu[1]), (attention[0], "output")}
        | {(gelu[0], gelu[1]), (gelu[0], "output"), (attention[1], "output")},
    )


CASES["transformer"] = vit_case(batch_first=True)
CASES["transformer, tokens first"] = vit_case(batch_first=False)
CASES["attention by heads"] = Case(
    Attention,
    (6, 8),
    {"input": 48, "scaled_dot_product_attention": 8, "gelu": 8, "output": 2},
    chained("scaled_dot_product_attention", "gelu") | {("input", "gelu")},
)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All of a model that recording must leave as it is."""
    modules = dict(model.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_with_kwargs")
    return {
        "weights": {
            name: (
                value.clone(),
                value.data_ptr(),
                value._version,
                value.requires_grad,
                value.dtype,
                value.grad,
            )
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        },
        "training": {name: module.training for name, module in modules.items()},
        "hooks": {name: [len(getattr(module, hook)) for hook in hooks] for name, module in modules.items()},
        "random": copy.deepcopy(torch.get_rng_state()),
    }
