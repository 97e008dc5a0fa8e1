"""Networks whose units can be silenced and not cut, or that share weights, or read words: what prune does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.pruning.file import shrink
from nif.pruning.prune import prune
from nif.pruning.result import Pruned
from support.pruning_cases import OF_ASSOCIATION, flow_of

ROWS = 60


def pruned(model: nn.Module, x: Tensor, layers: list[str], **options: object) -> Pruned:
    options = {"remove": 0.4, "tolerance": None, "compensate": None, **options}
    return prune(model, flow_of(model, x, layers), x, progress=False, **options)  # type: ignore[arg-type]


def masked(model: nn.Module, x: Tensor, small: Pruned) -> Tensor:
    """Outputs of the network with the removed units set to 0 where they were measured."""

    def mask(places: list[int]) -> Callable[..., Tensor]:
        return lambda _, __, gives: gives.index_fill(1, torch.tensor(places), 0)

    handles = [
        model.get_submodule(str(name)).register_forward_hook(mask(rows["index"].tolist()))
        for name, rows in small.removed.groupby("layer")
    ]
    with torch.no_grad():
        found: Tensor = model(x)
    for handle in handles:
        handle.remove()
    return found


def mixing() -> dict[str, nn.Module]:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(8 * 36, 3))
    norms = {"LayerNorm": nn.LayerNorm(8), "RMSNorm": nn.RMSNorm(8)}
    return {
        **{
            name: nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 3))
            for name, norm in norms.items()
        },
        "GroupNorm": nn.Sequential(nn.Conv2d(2, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), *flat),
        "groups": nn.Sequential(nn.Identity(), nn.Conv2d(2, 8, 3, groups=2), nn.ReLU(), *flat),
    }


def mixed(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = mixing()[name].eval()
    return model, torch.randn(ROWS, 4) if "Linear" in str(model[0]) else torch.randn(ROWS, 2, 8, 8)


@pytest.mark.parametrize("remove", [0.4, "most"])
@pytest.mark.parametrize("name", mixing())
def test_where_nothing_can_be_cut_nothing_is_zeroed_and_the_module_is_named(
    name: str, remove: object
) -> None:
    model, x = mixed(name)
    small = pruned(model, x, ["2"], remove=remove, tolerance=10.0)
    held = "'1' (Conv2d)" if name == "groups" else f"'1' ({type(model[1]).__name__})"
    assert len(small.removed) == 0
    assert small.notes[0] == f"Layer '2' is left whole: {held} needs all of its units."
    with torch.no_grad():
        assert torch.equal(small.model(x), model(x))
    zeroed = pruned(model, x, ["2"], remove=remove, tolerance=10.0, cut=False)
    assert any("cut is False: units were zeroed" in note for note in zeroed.notes)
    assert len(zeroed.removed) > 0


@pytest.mark.parametrize("rule", OF_ASSOCIATION)
@pytest.mark.parametrize("name", mixing())
def test_units_behind_what_cannot_be_cut_are_zeroed_where_their_layer_is_named(name: str, rule: str) -> None:
    model, x = mixed(name)
    small = pruned(model, x, ["2"], rule=rule, remove={"2": 0.4})
    assert len(small.removed) == 3
    assert (small.removed["how"] == "zeroed").all()
    assert "zeroed and not cut" in small.notes[0]
    with torch.no_grad():
        assert torch.allclose(small.model(x), masked(model, x, small), atol=1e-6)


def test_a_layer_that_is_named_is_zeroed_where_it_cannot_be_cut_though_others_can() -> None:
    torch.manual_seed(0)
    first = [nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU()]
    model, x = nn.Sequential(*first, nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(ROWS, 4)
    small = pruned(model, x, ["2", "4"], remove={"2": 0.25, "4": 0.5})
    assert small.removed[["layer", "how"]].value_counts().to_dict() == {("4", "cut"): 3, ("2", "zeroed"): 2}
    with torch.no_grad():
        assert torch.allclose(small.model(x), masked(model, x, small), atol=1e-6)


class OverChannels(nn.Module):
    """A mean over channels, of which there are as many as positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Conv1d(3, 6, 3, padding=1), nn.ReLU(), nn.Linear(6, 6)
        self.last, self.head = nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.last(self.b(self.act(self.a(x)).mean(1))))
        return out


def test_a_mean_over_channels_leaves_no_channels() -> None:
    torch.manual_seed(0)
    model, x = OverChannels(), torch.randn(ROWS, 3, 6)
    small = pruned(model, x, ["act"], remove={"act": 0.5})
    assert (small.removed["how"] == "zeroed").all()
    with torch.no_grad():
        assert torch.allclose(small.model(x), masked(model, x, small), atol=1e-6)


def tied() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    net[2].weight = net[0].weight
    return net


@pytest.mark.parametrize("remove", ["silent", 0.4, "most"])
def test_units_of_a_weight_that_is_shared_stay_so_that_it_stays_shared(
    remove: object, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(*tied()[:4], nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(ROWS, 6)
    flow = flow_of(model, x, ["1", "3", "5"], silent=[("1", 2), ("3", 1), ("5", 4)])
    small = prune(model, flow, x, remove=remove, tolerance=10.0, progress=False)
    assert set(small.removed["layer"]) == {"5"}
    assert small.model[0].weight is small.model[2].weight
    assert small.size_after.parameters == small.size_before.parameters - 10 * len(small.removed)
    assert "Layers '1', '3' are left whole: a weight that several modules share" in small.notes[0]
    small.save(tmp_path / "small")
    again = shrink(model, tmp_path / "small")
    assert again[0].weight is again[2].weight
    with torch.no_grad():
        assert torch.equal(again(x), small.model(x))
    with pytest.raises(InputError, match="several modules share"):
        prune(model, flow, x, remove={"1": 0.4}, progress=False)


NORMS = {
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "spectral norm by hook": nn.utils.spectral_norm,
}


@pytest.mark.parametrize("name", NORMS)
def test_weights_that_are_made_anew_in_each_run_are_cut(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)

    def build() -> nn.Sequential:
        return nn.Sequential(NORMS[name](nn.Linear(4, 8)), nn.ReLU(), NORMS[name](nn.Linear(8, 3))).eval()

    model, x = build(), torch.randn(ROWS, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small = pruned(model, x, ["1"])
    small.save(tmp_path / "small")
    with torch.no_grad():
        expected = masked(model, x, small)
        assert torch.allclose(small.model(x), expected, atol=1e-6)
        assert torch.allclose(shrink(build(), tmp_path / "small")(x), expected, atol=1e-6)
    assert (small.removed["how"] == "cut").all()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("rule", OF_ASSOCIATION)
def test_models_that_read_words_can_be_pruned_by_every_rule(rule: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2))
    small = pruned(model, torch.randint(0, 7, (ROWS, 3)), ["3"], rule=rule)
    assert (small.removed["how"] == "cut").all()


def test_whole_numbers_are_read_as_they_are_when_measured() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randint(0, 99, (ROWS, 4))
    flow = nif.measure(model, x, nif.Binned(), progress=False)
    assert len(prune(model, flow, x, remove=0.5, tolerance=None, progress=False).removed) == 4


class Tied(nn.Module):
    """Words are read and written by one table, as in T5."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.hidden = nn.Embedding(9, 6), nn.Linear(6, 20)
        self.back, self.write = nn.Linear(20, 6, bias=False), nn.Linear(6, 9, bias=False)
        self.write.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.write(self.back(self.hidden(self.words(ids).mean(1)).relu()))


@pytest.mark.filterwarnings("ignore:The inputs are ids of categories:UserWarning")
@pytest.mark.parametrize("compensate", ["linear", "mean", None])
def test_tied_weights_stay_tied(compensate: str | None) -> None:
    model, ids = Tied().eval(), torch.randint(0, 9, (ROWS, 4))
    flow = nif.measure(model, ids, nif.GaussianCopula(), progress=False)
    small = prune(model, flow, ids, remove=0.3, tolerance=None, compensate=compensate, progress=False)
    assert small.model.write.weight is small.model.words.weight
    assert torch.equal(small.model.words.weight, model.words.weight)
    lost = 20 - small.model.hidden.out_features
    assert lost > 0
    biases = 0 if small.model.back.bias is None else 6
    assert small.size_after.parameters == small.size_before.parameters - 13 * lost + biases


def test_a_parameter_that_a_module_is_given_does_not_stop_the_count_of_operations() -> None:
    class Start(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.first = nn.Parameter(torch.randn(1, 3)), nn.Linear(3, 6)
            self.other, self.relu, self.head = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.first(self.start.expand(len(x), 3)) + self.other(x)))

    model, x = Start(), torch.randn(ROWS, 4)
    small = prune(model, flow_of(model, x, ["relu"]), x, remove=0.5, tolerance=None, progress=False)
    assert small.size_before.flops == 2 * (3 * 6 + 4 * 6 + 6 * 2)
    assert all(weight.requires_grad for weight in model.parameters())
