"""Dimensions of keys: the best products of a rank, what is cut, and what changes nothing."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.pruning.equivalent import to_linear
from nif.pruning.key_dims import low_rank_products
from nif.pruning.multihead import MultiheadAttention
from support.attention_cases import measured, without
from support.sequence_models import data_of, model_of


def drawn(seed: int, rows: int = 40) -> Tensor:
    """Correlated rows of five numbers."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    return torch.randn(rows, 5, generator=generator, dtype=torch.float64) @ mixed


@pytest.mark.parametrize("rank", range(1, 6))
def test_the_error_of_all_products_is_that_of_the_best_matrix_of_the_rank(rank: int) -> None:
    """Eckart and Young on the matrix of all products, by numpy, which no moments are computed for."""
    queries, keys = drawn(0), drawn(1, rows=30)
    keys = keys - keys.mean(0)
    maps = low_rank_products(queries.T @ queries / 40, keys.T @ keys / 30)
    a, b = (part[:rank] for part in maps[:2])
    products = (queries @ keys.T).numpy()
    left = np.square(products - ((queries @ a.T) @ (keys @ b.T).T).numpy()).sum()
    singular = np.linalg.svd(products, compute_uv=False)
    assert np.isclose(
        left, np.square(singular[rank:]).sum(), rtol=1e-6, atol=1e-6 * np.square(singular).sum()
    )
    assert np.allclose(maps[2] * 40 * 30, np.square(singular[:5]), rtol=1e-6)


def test_keys_that_vary_in_few_directions_leave_products_as_they_are() -> None:
    queries, keys = drawn(0), drawn(1)
    keys[:, 3:] = keys[:, :2]
    a, b, squares = low_rank_products(queries.T @ queries / 40, keys.T @ keys / 40)
    products = queries @ keys.T
    assert torch.allclose(
        (queries @ a[:3].T) @ (keys @ b[:3].T).T, products, atol=1e-6 * products.abs().max()
    )
    assert squares[3:].max() < 1e-6 * squares[0]


def exact(model: nn.Module) -> tuple[nn.Module, Tensor]:
    return model.double().eval(), torch.randn(60, 6, 8, generator=torch.Generator().manual_seed(0)).double()


def encoder() -> nn.TransformerEncoderLayer:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)


def test_dimensions_that_no_query_has_are_removed_and_nothing_changes() -> None:
    model, x = exact(encoder())
    with torch.no_grad():
        for part in (model.self_attn.in_proj_weight, model.self_attn.in_proj_bias):
            part[[0, 3, 5, 6]] = 0  # queries: two of four dimensions of each head
    before, weights = model(x), copy.deepcopy(model.state_dict())
    small = without(model, x, measured(model, x), key_dims=0.5, tolerance=1e-6)
    assert small.removed.to_numpy().tolist() == [["self_attn", f"key {dim}", dim, "cut"] for dim in (3, 2)]
    attention = small.model.self_attn
    assert [attention.q_proj.out_features, attention.k_proj.out_features] == [4, 4]
    assert attention.v_proj.out_features == 8
    assert (small.model(x) - before).abs().max() <= 1e-8
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_number_added_to_all_keys_makes_no_dimension_important() -> None:
    """Softmax does not see it, however large it is: the same dimensions are removed, with the same effect."""
    models = [exact(encoder())[0] for _ in range(2)]
    x = exact(encoder())[1]
    with torch.no_grad():
        models[1].self_attn.in_proj_bias[8:16] += 30
    small = [without(model, x, measured(model, x), key_dims=0.5).model for model in models]
    assert (models[0](x) - models[1](x)).abs().max() <= 1e-10
    assert (small[0](x) - small[1](x)).abs().max() <= 1e-6


def test_scores_are_the_best_of_their_rank() -> None:
    """Over all pairs of a query and a key none of the rank differ less, by numpy; simple ones differ more."""
    model, x = exact(encoder())
    to_linear(whole := copy.deepcopy(model))
    small = without(model, x, measured(model, x), key_dims=0.5).model

    def scores(layers: nn.Module, dims: slice = slice(None)) -> np.ndarray:
        q, k = (layer(x).unflatten(-1, (2, -1))[..., dims] for layer in (layers.q_proj, layers.k_proj))
        k = k - k.mean((0, 1))
        return torch.einsum("rihd,sjhd->hrisj", q, k).reshape(2, 360, 360).numpy()

    with torch.no_grad():
        wanted = scores(whole.self_attn)
        error = np.square(scores(small.self_attn) - wanted).sum()
        simple = [np.square(scores(whole.self_attn, slice(a, a + 2)) - wanted).sum() for a in range(3)]
    singular = np.linalg.svd(wanted, compute_uv=False)
    assert np.isclose(error, np.square(singular[:, 2:]).sum(), rtol=1e-5)
    assert error < 0.9 * min(simple)


def test_a_file_restores_fewer_dimensions_fewer_heads_and_fewer_units_together(tmp_path: Path) -> None:
    model, data = model_of("encoder"), data_of("encoder")
    small = without(model, data, "encoder", key_dims=0.5, heads=0.5, remove=0.5)
    kinds = small.removed["unit"].str.split("[ []", regex=True).str[0].value_counts().to_dict()
    assert kinds["key"] == 2 and kinds["head"] == 1 and len(small.removed) == 11
    assert isinstance(small.model.encoder.self_attn, MultiheadAttention)
    small.save(tmp_path / "small")
    again = nif.shrink(model_of("encoder"), tmp_path / "small")
    with torch.no_grad():
        assert torch.equal(again(**data), small.model(**data))
    assert again.encoder.self_attn.q_proj.out_features == 2


def test_dimensions_that_exceed_the_tolerance_are_restored() -> None:
    model, data = model_of("encoder"), data_of("encoder")
    small = without(model, data, "encoder", key_dims=0.5, tolerance=0.0)
    assert len(small.removed) == 0 and small.restored["index"].tolist() == [3, 2]
    assert type(small.model.encoder.self_attn) is nn.MultiheadAttention


def test_one_dimension_stays_and_other_fractions_are_refused() -> None:
    model, data = model_of("encoder"), data_of("encoder")
    assert without(model, data, "encoder", key_dims=0.99).model.encoder.self_attn.q_proj.out_features == 2
    with pytest.raises(InputError, match="dimensions of keys to remove is 1"):
        without(model, data, "encoder", key_dims=1)
