"""The feed-forward units of torch's transformer encoders are cut, and fused kernels do not get in the way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.network.forward import Forward
from nif.network.tracing import unfused
from nif.network.units import unit_weights
from nif.network.weights import calls
from nif.pruning.prune import prune
from nif.pruning.result import Pruned
from nif.pruning.size import sizes_of
from support.networks import chain

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model chooses its path"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
]


class Tokens(nn.Module):
    """Tokens of three numbers, an encoder over them, and their mean read by a Linear."""

    def __init__(self, encoder: nn.Module, **given: Any) -> None:
        super().__init__()
        self.embed, self.encoder, self.head = nn.Linear(3, 8), encoder, nn.Linear(8, 2)
        self.given = given

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x), **self.given).mean(1))


class Asking(Tokens):
    """Its path depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 2 if x.sum() > 1e9 else x)


class Padded(Tokens):
    """The encoder is told which tokens are padding; here none is, and it is asked each time."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x), src_key_padding_mask=x[:, :, 0] > 1e9).mean(1))


def layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)


def stack(norm: nn.Module | None = None, nested: bool = False, **options: Any) -> nn.TransformerEncoder:
    return nn.TransformerEncoder(layer(**options), 2, norm=norm, enable_nested_tensor=nested)


def twice() -> nn.Sequential:
    one = layer()
    return nn.Sequential(one, one)


CAUSAL = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "one layer": lambda: Tokens(layer()),
    "stack": lambda: Tokens(stack()),
    "norm first, and at the end": lambda: Tokens(stack(nn.LayerNorm(8), norm_first=True)),
    "no bias, gelu": lambda: Tokens(layer(bias=False, activation=functional.gelu)),
    "activation as a module": lambda: Tokens(layer(activation=nn.SiLU())),
    "causal": lambda: Tokens(layer(), src_mask=CAUSAL, is_causal=True),
    "padding": lambda: Padded(stack(nested=True)),
    "one layer twice": lambda: Tokens(twice()),
    "not traceable": lambda: Asking(layer()),
    "nothing but a layer": layer,
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model, width = NETWORKS[name]().eval(), 8 if name == "nothing but a layer" else 3
    return model, torch.randn(64, 5, width, generator=torch.Generator().manual_seed(1))


def flow(model: nn.Module, x: Tensor) -> nif.Flow:
    return nif.measure(model, x, nif.Binned(), progress=False)


def masked(model: nn.Module, x: Tensor, small: Pruned) -> Tensor:
    """Slow twin of removal: the whole network, in which linear2 reads 0 of these units."""

    def mask(given: tuple[Tensor, ...], gone: list[int]) -> tuple[Tensor]:
        kept = torch.ones(given[0].shape[-1])
        kept[gone] = 0
        return (given[0] * kept,)

    twin = copy.deepcopy(model)
    for name, rows in small.removed.groupby("layer"):
        inside = name.rpartition(".")[0]
        reader = twin.get_submodule(f"{inside}.linear2" if inside else "linear2")
        gone = rows["index"].tolist()
        reader.register_forward_pre_hook(lambda _, given, gone=gone: mask(given, gone))
    with torch.no_grad(), unfused():
        return twin(x)


@pytest.mark.parametrize("name", NETWORKS)
def test_cut_equals_masking_fused_or_not(name: str) -> None:
    model, x = network(name)
    before = copy.deepcopy(model.state_dict())
    measured = flow(model, x)
    small = prune(model, measured, x, remove=0.5, tolerance=None, compensate=None, rule="magnitude")
    hidden = {name for name in (each.name for each in measured.layers[1:-1]) if "self_attn" not in name}
    assert set(small.removed["layer"]) == hidden
    assert all("self_attn" in note and "left whole" in note for note in small.notes)
    assert set(small.removed["how"]) == {"cut"}
    assert small.size_after.parameters < small.size_before.parameters
    assert small.size_after.flops < small.size_before.flops
    wanted = masked(model, x, small)
    with torch.no_grad():
        assert torch.allclose(small.model(x), wanted, atol=1e-5)
        with unfused():
            assert torch.allclose(small.model(x), wanted, atol=1e-5)
    assert torch.allclose(small.model(x), wanted, atol=1e-5)  # with gradients
    small.model.train()(x).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def with_a_constant_unit() -> tuple[nn.Module, Tensor]:
    model, x = network("stack")
    with torch.no_grad():
        inner = model.encoder.layers[0].linear1
        inner.weight[3], inner.bias[3] = 0, -1
    return model, x


@cache
def flow_with_a_constant_unit() -> nif.Flow:
    return flow(*with_a_constant_unit())


@pytest.mark.parametrize("remove", ["silent", "most", 0.5, {"encoder.layers.1.relu": 0.3}])
def test_every_way_of_asking_saves_and_shrinks(remove: Any, tmp_path: Path) -> None:
    model, x = with_a_constant_unit()
    small = prune(model, flow_with_a_constant_unit(), x, remove=remove, tolerance=0.05)
    assert len(small.removed) > 0
    assert small.score_after <= 0.05 + 1e-4
    small.save(tmp_path / "small.safetensors")
    loaded = nif.shrink(NETWORKS["stack"]().eval(), tmp_path / "small.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(x), small.model(x))
    widths = [each.linear1.out_features for each in loaded.encoder.layers]
    assert widths == [each.linear2.in_features for each in loaded.encoder.layers]
    assert sum(widths) == 32 - len(small.removed)


@pytest.mark.parametrize("name", NETWORKS)
def test_feed_forward_units_are_those_of_both_linear_layers(name: str) -> None:
    model, x = network(name)
    found = unit_weights(Forward(model), (x[:2],))
    inner = [name for name in found.rows if name.endswith("linear1")]
    assert len(inner) == sum(name.endswith("linear1") for name, _ in model.named_modules())
    for name in inner:
        read = found.columns[name.replace("linear1", "linear2")]
        assert found.groups.of(found.rows[name]).tolist() == found.groups.of(read).tolist()
        assert not found.groups.has_fixed_width(read).any()


def test_least_squares_makes_up_for_removed_units() -> None:
    model, x = network("stack")
    measured = flow(model, x)
    repaired, bare = (
        prune(model, measured, x, remove=0.5, tolerance=None, compensate=how) for how in ("linear", None)
    )
    assert repaired.score_after < bare.score_after


def test_hooks_are_told_and_the_fast_path_is_put_back() -> None:
    model, x = network("padding")
    before = torch.backends.mha.get_fastpath_enabled()
    name = "encoder.layers.0.linear2"
    with torch.no_grad(), calls(model, [name]) as noted:
        model(x)
    assert noted[name][0][0].shape == (64, 5, 16)
    assert not noted[name][0][0].is_nested
    assert torch.backends.mha.get_fastpath_enabled() == before
    with pytest.raises(KeyError), unfused():
        raise KeyError
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_operations_of_fused_kernels_are_counted() -> None:
    model, x = network("one layer")
    tokens, width, inner = 5, 8, 16
    assert sizes_of([Forward(model)], (x,))[0].flops > 2 * 2 * tokens * width * inner


def test_functions_are_followed_where_the_code_cannot_be_traced() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = chain(4, 6)[0], nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(functional.relu(self.first(x * 2 if x.sum() > 1e9 else x)))

    model, x = Choosing(), torch.randn(64, 4)
    small = prune(model, flow(model, x), x, remove={"relu": 0.5}, tolerance=None)
    assert small.removed["how"].tolist() == ["cut"] * 3
