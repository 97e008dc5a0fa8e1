"""The rows of every activation must be the rows of the data; a model must not be random."""

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


FAST = nif.Currents(steps=2, rows=20, backgrounds=4)


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
