"""The rows of every activation must be the rows of the data; a model must not be random."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.data.rows import read
from nif.network.network import Network
from nif.network.recording import record

X = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))


class Shared(nn.Module):
    """An encoder of identity weights on two inputs, one block of rows after the other."""

    def __init__(self, fold: str) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
        self.encoder[0].weight.data = torch.eye(2)
        self.out = nn.Linear(4, 2)
        self.fold = fold

    def forward(self, x: Tensor) -> Tensor:
        if self.fold == "cat":
            both = self.encoder(torch.cat([x, x + 1])).chunk(2)
        elif self.fold == "repeat":
            both = self.encoder(x.repeat(2, 1)).chunk(2)
        elif self.fold == "time first":
            both = self.encoder(torch.stack([x, x + 1]).flatten(0, 1)).view(2, -1, 2).unbind()
        else:  # row by row
            both = self.encoder(torch.stack([x, x + 1], 1).flatten(0, 1)).view(-1, 2, 2).unbind(1)
        return self.out(torch.cat(both, 1))


@pytest.mark.parametrize("fold", ["cat", "repeat", "time first", "row by row"])
def test_blocks_of_rows_are_put_in_order(fold: str) -> None:
    shift = 0.0 if fold == "repeat" else 0.5  # the mean over both positions
    units = record(Shared(fold).eval(), X).activations[1]
    np.testing.assert_allclose(units, X + shift, atol=1e-6)


class Permuted(nn.Module):
    """Works on sorted rows, and returns them in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.relu, self.out = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        order = x[:, 0].argsort()
        return self.out(self.relu(self.inner(x[order]))[order.argsort()])


def test_a_layer_of_permuted_rows_is_left_out() -> None:
    network = Network.of(Permuted())
    with pytest.warns(UserWarning, match="'relu' is left out"):
        plan = network.plan(read(X, network.signature))
    assert [place.name for place in plan.places] == ["input", "output"]
    assert list(plan.connections) == [(0, 1)]


class OfTheBatch(nn.Module):
    """Subtracts the mean of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.out = nn.ReLU(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.relu(x - x.mean(0)))


def test_a_model_whose_rows_depend_on_each_other_is_refused() -> None:
    with pytest.raises(nif.InputError, match="depends on the other rows of its batch"):
        nif.measure(OfTheBatch(), X, nif.GaussianCopula(), progress=False)


class Rounded(nn.Module):
    """A sum, which is 0 for one row, whose last digits depend on how many rows are computed at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True) * (1 + 1e-6 * len(x)) + 1e-6 * len(x)


def test_an_output_of_nearly_zero_may_differ_by_rounding() -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    x[0, 0] = -x[0, 1:].sum()
    nif.measure(nn.Sequential(Rounded()), x, nif.Binned(), progress=False)


class Random(nn.Module):
    """Drops units in eval mode too, or attends to some positions only."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.inner, self.out, self.function = nn.Identity(), nn.Linear(2, 2), function
        self.inner.register_forward_hook(self._drawn)

    def _drawn(self, module: nn.Module, given: object, x: Tensor) -> Tensor:
        if self.function == "dropout":
            return nn.functional.dropout(x.relu())
        if self.function == "scaled_dot_product_attention":
            tokens = x[:, None, :, None]
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.5)[
                :, 0, :, 0
            ]
        return x + torch.randn_like(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x))


class Attending(nn.Module):
    """Forgets to pass the mode on to the dropout of its attention."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Module()
        self.block.attend = Attention()
        self.out = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.block.attend(x))


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x[:, None, :, None]
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.5)[:, 0, :, 0]


FAST = nif.Currents(steps=2, rows=20, backgrounds=4, by_class=False, paths=0)


@pytest.mark.filterwarnings("ignore:The currents of the inputs sum to")
@pytest.mark.filterwarnings("ignore:.*backgrounds miss:UserWarning")
@pytest.mark.parametrize("method", [nif.GaussianCopula(), FAST])
@pytest.mark.parametrize(
    "model, where",
    [
        (Random("dropout"), "'dropout' of module 'inner'"),
        (Random("randn_like"), "'randn_like' of module 'inner'"),
        (Attending(), "'scaled_dot_product_attention' of module 'block.attend'"),
    ],
    ids=["dropout", "noise", "attention"],
)
def test_a_random_model_is_named_by_its_module(model: nn.Module, where: str, method: object) -> None:
    with pytest.warns(UserWarning, match=f"first in {where}: the model is random in eval mode"):
        nif.measure(model, X, method, progress=False)


class Cumulative(nn.Module):
    """Each row depends on those before it, so that leaving out the last one changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.out = nn.ReLU(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.relu(x.cumsum(0)))


class BranchOfTheBatch(nn.Module):
    """Asks one question of all rows at once, as people write it who try a single row."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.out = nn.ReLU(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.out(self.relu(x))
        return hidden if x[:, 0].mean() > 0.5 else -hidden


@pytest.mark.filterwarnings("ignore:The model chooses its path by the data")
@pytest.mark.parametrize("method", [nif.GaussianCopula(), FAST])
@pytest.mark.parametrize("model", [OfTheBatch(), Cumulative(), BranchOfTheBatch()])
def test_rows_that_depend_on_each_other_are_refused_by_both_measures(
    model: nn.Module, method: object
) -> None:
    with pytest.raises(nif.InputError, match="depends on the other rows of its batch"):
        nif.measure(model, X, method, progress=False)


class Layers(nn.Module):
    """An activation in the middle of what a test does before and after it."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before, self.after = before, after
        self.inner, self.relu, self.out = nn.Linear(2, 3), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.after(self.relu(self.inner(self.before(x)))))


def beside(x: Tensor) -> Tensor:
    return torch.cat([x, x + 1])


FOLDED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Callable[..., Tensor]]] = {
    "halves of a batch": (beside, lambda h: torch.cat(h.chunk(2), 1), lambda x: torch.stack([x, x + 1], 1)),
    "repeated rows": (
        lambda x: x.repeat(2, 1), lambda h: torch.cat(h.chunk(2), 1), lambda x: torch.stack([x, x], 1)
    ),
    "time first": (
        lambda x: torch.stack([x, x + 1]).flatten(0, 1),
        lambda h: h.view(2, -1, 3).transpose(0, 1).flatten(1),
        lambda x: torch.stack([x, x + 1], 1),
    ),
    "batch first": (
        lambda x: torch.stack([x, x + 1], 1).flatten(0, 1),
        lambda h: h.view(-1, 2, 3).flatten(1),
        lambda x: torch.stack([x, x + 1], 1),
    ),
    "windows": (
        lambda x: torch.stack([x, x + 1], 1).view(-1, 2, 1, 2).flatten(0, 1),
        lambda h: h.view(-1, 2, 1, 3).flatten(1),
        lambda x: torch.stack([x, x + 1], 1),
    ),
    "crops": (
        lambda x: torch.cat([x, x + 1, x - 1, x * 2]),  # two global and two local ones
        lambda h: torch.cat([h.chunk(4)[0] + h.chunk(4)[2], h.chunk(4)[1] * h.chunk(4)[3]], 1),
        lambda x: torch.stack([x, x + 1, x - 1, x * 2], 1),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*backgrounds miss:UserWarning")
@pytest.mark.parametrize("name", FOLDED)
def test_rows_that_are_folded_give_the_units_of_rows_that_are_not(name: str) -> None:
    before, after, unfolded = FOLDED[name]
    folded, plain = Layers(before, after).eval(), Layers(unfolded, _plainly(name, after)).eval()
    given, expected = (record(model, X).activations[1] for model in (folded, plain))
    np.testing.assert_allclose(given, expected, atol=1e-6)
    flows = [nif.measure(model, X, FAST, progress=False) for model in (folded, plain)]
    scale = abs(flows[1].total.nats)
    for one, two in zip(*(flow.currents.units for flow in flows), strict=True):
        np.testing.assert_allclose(one.nats, two.nats, atol=1e-5 * scale)
        np.testing.assert_allclose(one.stderr, two.stderr, atol=1e-5 * scale)
    for one, two in zip(*(flow.links for flow in flows), strict=True):
        np.testing.assert_allclose(one.nats, two.nats, atol=1e-5 * scale)


def _plainly(name: str, after: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What is done with the positions of a row that were never folded."""
    if name == "crops":
        return lambda h: torch.cat([h[:, 0] + h[:, 2], h[:, 1] * h[:, 3]], 1)
    return lambda h: h.flatten(1)


@pytest.mark.filterwarnings("ignore:.*backgrounds miss:UserWarning", "ignore:The operations:UserWarning")
@pytest.mark.parametrize("method", [nif.GaussianCopula(), FAST])
def test_sorted_rows_are_left_out_by_both_measures(method: object) -> None:
    with pytest.warns(UserWarning, match="'relu' is left out"):
        flow = nif.measure(Permuted(), X, method, progress=False)
    assert [layer.name for layer in flow.layers] == ["input", "output"]


class Mixture(nn.Module):
    """A small Mixtral on two tokens."""

    def __init__(self, experts: str) -> None:
        super().__init__()
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(0)
        self.first = nn.Linear(2, 16)
        self.net = transformers.MixtralForSequenceClassification(
            transformers.MixtralConfig(
                hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, head_dim=4,
                num_key_value_heads=1, vocab_size=10, num_local_experts=4, num_labels=2, pad_token_id=0,
            )
        )  # fmt: skip
        with torch.no_grad():
            for values in self.net.parameters():
                values.mul_(6 if values.dim() >= 2 else 1)
        self.net.set_experts_implementation(experts)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(inputs_embeds=self.first(x).unflatten(1, (2, 8))).logits


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*backgrounds miss:UserWarning", "ignore:The operations:UserWarning")
def test_experts_of_mixtral_are_left_out_and_the_rest_is_right() -> None:
    method = nif.Currents(steps=4, rows=10, backgrounds=4, by_class=False, paths=0)
    with pytest.warns(UserWarning, match="experts.act_fn' is left out"):
        nif.measure(Mixture("grouped_mm").eval(), X, nif.GaussianCopula(), progress=False)
    with pytest.warns(UserWarning, match="experts.act_fn' is left out"):
        sorted_rows = nif.measure(Mixture("grouped_mm").eval(), X, method, progress=False)
    in_order = nif.measure(Mixture("batched_mm").eval(), X, method, progress=False)
    total = abs(in_order.total.nats)
    one, two = (flow.currents.units[0].nats for flow in (sorted_rows, in_order))
    assert one.sum() == pytest.approx(sorted_rows.total.nats, abs=1e-5 * np.abs(one).sum())
    np.testing.assert_allclose(one, two, atol=0.02 * total)
