"""The same bits under any default precision and autocast; a default device without values is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import nif

METHODS = {
    "currents": nif.Currents(rows=20, backgrounds=8, steps=2),
    "Mine": nif.Mine(steps=5),
    "Binned": nif.Binned(),
    "published": nif.Association(
        nif.SharedMine(hidden=8, steps=5),
        beta=1.0,
        relevance="layer",
        order="index",
        critic="joint",
        noise=0.1,
    ),
    "decision information": nif.DecisionInformation(),
}

pytestmark = pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")


@contextlib.contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(precision)
    try:
        yield
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def net_and_rows() -> tuple[nn.Module, torch.Tensor]:
    """More rows than bfloat16 can count one by one."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).float()
    with torch.no_grad():
        for values in net.parameters():
            values.copy_(torch.randn(values.shape, generator=generator, dtype=torch.float32))
    return net.eval(), torch.randn(300, 3, generator=generator, dtype=torch.float32)


def bits(name: str) -> bytes:
    net, x = net_and_rows()
    return nif.measure(net, x, METHODS[name], progress=False).edges()["nats"].to_numpy().tobytes()


def choices() -> list[contextlib.AbstractContextManager[object]]:
    others = map(precision, (torch.float64, torch.float16, torch.bfloat16))
    return [*others, products("medium"), torch.autocast("cpu", dtype=torch.bfloat16), *without_gradients()]


def without_gradients() -> list[contextlib.AbstractContextManager[object]]:
    return [torch.no_grad(), torch.inference_mode()]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_results_do_not_depend_on_what_the_process_has_chosen(name: str) -> None:
    expected = bits(name)
    for choice in choices():
        with choice:
            assert bits(name) == expected
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.slow
def test_pruning_does_not_depend_on_the_default_precision() -> None:
    net, x = net_and_rows()
    flow = nif.measure(net, x, METHODS["currents"], progress=False)

    def pruned(rule: str) -> list[bytes]:
        small = nif.prune(net, flow, x, remove=0.4, tolerance=None, rule=rule)
        return [values.detach().numpy().tobytes() for values in small.model.parameters()]

    for rule in ("current", "redundancy", "contribution"):
        expected = pruned(rule)
        for choice in choices():
            if isinstance(choice, torch.autocast):  # where the linear algebra is the user's
                continue
            with choice:
                assert pruned(rule) == expected, rule


def compared() -> list[np.ndarray]:
    net, x = net_and_rows()
    x = x[:60]
    flow = nif.measure(net, x, METHODS["currents"], progress=False)
    features = nif.compare(net, flow, x, x[:, 0] > 0, methods=["SHAP", "IG"], repeats=2, progress=False)
    links = nif.compare_links(net, flow, x, methods=["EAP-IG"], progress=False)
    critics = nif.estimate(x[:, :2].numpy(), x[:, 1:].numpy(), nif.InfoNce(hidden=8, steps=20))
    return [features["deletion"].to_numpy(), links.to_numpy(), np.array([critics.nats, critics.stderr])]


with_gradients = cache(compared)


@pytest.mark.slow
@pytest.mark.usefixtures("few_rows_explained")
@pytest.mark.parametrize("without", without_gradients(), ids=["no_grad", "inference_mode"])
def test_comparisons_and_critics_make_their_own_gradients(
    without: contextlib.AbstractContextManager[object],
) -> None:
    expected = with_gradients()
    with without:
        found = compared()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_default_device_without_values_is_refused() -> None:
    net, x = nn.Linear(3, 2), torch.randn(80, 3)
    with torch.device("meta"), pytest.raises(nif.InputError, match="default device of torch is 'meta'"):
        nif.measure(net, x, progress=False)


def test_critics_are_trained_on_the_cpu_whatever_the_default_device_is() -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 60))
    few = nif.Mine(hidden=8, steps=20)
    expected = nif.estimate(x, x + noise, few)
    with torch.device("meta"):
        found = nif.estimate(x, x + noise, few)
    assert (found.nats, found.stderr, found.p_value) == (expected.nats, expected.stderr, expected.p_value)


def test_a_wide_network_is_measured_in_single_precision_whatever_products_are() -> None:
    """Narrow ones are multiplied without the bfloat16 of the processor, if it has that."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 5)), torch.randn(200, 64)
    expected = float(nif.measure(net, x, METHODS["currents"], progress=False).total)
    with products("medium"):
        assert float(nif.measure(net, x, METHODS["currents"], progress=False).total) == expected
