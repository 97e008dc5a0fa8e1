"""Units with positions: which axis is the unit, what becomes of positions, inputs in groups."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.data.groups import groups
from nif.data.rows import read
from nif.network.axes import axes_of
from nif.network.operators import unit_map
from nif.network.recording import record
from nif.network.unit_maps import Call
from support.networks import ViT, lenet
from support.recording_cases import CASES, ROWS


def images(side: int = 8) -> Tensor:
    return torch.randn(ROWS, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_mean_and_max_over_a_channel() -> None:
    model, x = lenet(), images()
    with torch.no_grad():
        channels = model[1](model[0](x))
    mean, highest = record(model, x), record(model, x, reduce="max")
    np.testing.assert_allclose(mean.activations[1], channels.mean((2, 3)).numpy(), atol=1e-6)
    np.testing.assert_allclose(highest.activations[1], channels.amax((2, 3)).numpy(), atol=1e-6)
    np.testing.assert_array_equal(mean.activations[0], x.flatten(1).double().numpy())
    np.testing.assert_array_equal(mean.activations[3], highest.activations[3])


def test_positions_are_samples_at_the_places_of_the_coarsest_layer() -> None:
    model, x = lenet(), images()
    found = record(model, torch.utils.data.TensorDataset(x, torch.arange(ROWS)), reduce="positions")
    with torch.no_grad():
        first, second = model[:2](x), model[:5](x)
    assert second.shape[2:] == (4, 4) and found.samples == ROWS * 16
    np.testing.assert_allclose(
        found.activations[1], first[:, :, ::2, ::2].permute(0, 2, 3, 1).reshape(-1, 4).numpy(), atol=1e-6
    )
    np.testing.assert_allclose(
        found.activations[2], second.permute(0, 2, 3, 1).reshape(-1, 6).numpy(), atol=1e-6
    )
    np.testing.assert_allclose(found.activations[0][:, 0], x[:, 0, ::2, ::2].flatten().numpy())
    assert found.layers[0].units == ("x1",)
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(ROWS), 16))
    # A layer without positions has one value for all places of a row.
    assert all(np.ptp(found.activations[3].reshape(ROWS, 16, -1), axis=1).ravel() == 0)


def test_positions_that_do_not_align_are_refused() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(50, 2)
    )
    with pytest.raises(InputError, match=r"'input' \(8x8\) and '3' \(5x5\).*neither is a multiple"):
        record(model, images(), reduce="positions")
    with pytest.raises(InputError, match=r"do not align"):
        record(ViT(), images(), reduce="positions")


def test_tokens_are_samples_where_all_layers_have_them() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    found = record(block, torch.randn(ROWS, 5, 8), reduce="positions")
    assert [len(layer) for layer in found.layers] == [8, 8, 12, 8] and found.samples == ROWS * 5


@pytest.mark.parametrize(
    ("build", "shape", "units", "grid"),
    [
        (lambda: nn.Conv1d(2, 6, 3), (2, 9), 6, 7),
        (lambda: nn.Linear(9, 6), (2, 9), 6, 2),
        (lambda: nn.Sequential(nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6)), (2, 9), 6, 7),
        (lambda: nn.Sequential(nn.LayerNorm(9)), (3, 9), 9, 3),
        (lambda: nn.Conv3d(1, 3, 2), (1, 4, 4, 4), 3, 27),
    ],
    ids=["channels", "features of tokens", "normalised channels", "normalised tokens", "volumes"],
)
def test_the_axis_of_the_units_follows_from_what_was_called(
    build: Any, shape: tuple[int, ...], units: int, grid: int
) -> None:
    model = nn.Sequential(build(), nn.Tanh(), nn.Flatten(), nn.Linear(units * grid, 2)).eval()
    found = record(model, torch.randn(ROWS, *shape))
    with torch.no_grad():
        values = model[:2](torch.as_tensor(found.activations[0].reshape(ROWS, *shape), dtype=torch.float32))
    axis = 1 if values.shape[1] == units else values.ndim - 1
    expected = values.movedim(axis, 1).flatten(2).mean(2)
    np.testing.assert_allclose(found.activations[1], expected.numpy(), atol=1e-6)


def axis_after(name: str, before: Tensor, axis: int, *args: Any) -> int | None:
    """Where the units are behind a method of a tensor."""
    after = getattr(before, name)(*args)
    call = Call(name, getattr(torch.Tensor, name), (before, *args), {}, (before,), (axis,), (after,))
    return unit_map(call, 0, 0).axis_after


def test_axes_are_kept_through_views() -> None:
    image = torch.zeros(11, 8, 4, 4)
    flat = image.flatten(2)
    assert axis_after("flatten", image, 1, 2) == 1
    assert axis_after("transpose", flat, 1, 1, 2) == 2
    assert axis_after("permute", image, 1, (0, 2, 3, 1)) == 3
    assert axis_after("mean", flat.transpose(1, 2), 2, 1) == 1
    assert axes_of((5, 3), None, rows=11) is None


def test_windows_folded_into_the_rows_are_positions() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.act, self.head = nn.Linear(4, 6), nn.ReLU(), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.inner(x.reshape(-1, 4))).reshape(len(x), -1))

    model, x = Windows(), torch.randn(ROWS, 8)
    with torch.no_grad():
        expected = model.act(model.inner(x.reshape(ROWS, 2, 4))).mean(1)
    np.testing.assert_allclose(record(model, x).activations[1], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("given", [2, (2, 2), np.arange(64).reshape(8, 8) // 16 * 4 + np.arange(8) // 2])
def test_patches_of_an_image_are_units(given: Any) -> None:
    x = images()
    found = record(lenet(), x, input_groups=given)
    expected = nn.functional.avg_pool2d(x, 2).flatten(1)
    np.testing.assert_allclose(found.activations[0], expected.numpy(), atol=1e-6)
    assert found.layers[0].units[1] == ("group[1]" if isinstance(given, np.ndarray) else "x[0:2,2:4]")
    assert found.layers[1].units[0] == "1[0]"
    assert found.layers[0].shape == (() if isinstance(given, np.ndarray) else (4, 4))


def test_an_image_is_a_picture_and_a_table_is_none() -> None:
    assert [layer.shape for layer in record(lenet(), images()).layers] == [(1, 8, 8), (), (), (), ()]
    assert record(lenet(), images(), reduce="positions").layers[0].shape == ()
    assert record(nn.Linear(4, 2), torch.randn(ROWS, 4)).layers[0].shape == ()


def test_channels_of_a_patch_are_one_group_and_a_patch_at_the_edge_is_smaller() -> None:
    found = groups(3, (2, 4, 5))
    assert found.names == ("x[0:3,0:3]", "x[0:3,3:5]", "x[3:4,0:3]", "x[3:4,3:5]")
    assert np.bincount(found.index).tolist() == [18, 12, 6, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (9, "patch of 9x9; a row of the data has shape"),
        (0, "patch of 0x0"),
        (np.zeros(7, int), r"shape \[7\]; expected \[1, 8, 8\]"),
        (np.full((8, 8), 2), "without gaps"),
        (np.zeros((8, 8)), "float64 values; expected whole numbers"),
    ],
)
def test_groups_that_do_not_fit(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        record(lenet(), images(), input_groups=given)


def test_groups_take_names_and_refuse_positions() -> None:
    found = record(lenet(), images(), input_groups=4, feature_names=["a", "b", "c", "d"])
    assert found.layers[0].units == ("a", "b", "c", "d")
    with pytest.raises(InputError, match="cannot be combined with reduce='positions'"):
        record(lenet(), images(), input_groups=4, reduce="positions")


def test_pixels_are_named_by_their_place() -> None:
    assert record(lenet(), images()).layers[0].units[:2] == ("x[0,0,0]", "x[0,0,1]")


def test_a_flattened_layer_can_be_measured_feature_by_feature() -> None:
    case = CASES["LeNet"]
    model = case.model()
    found = record(model, case.inputs(), layers=["4", "6"])
    assert [len(layer) for layer in found.layers] == [64, 6, 24, 3]
    assert found.connections == ((0, 1), (1, 2), (2, 3))


# Groups of one-hot columns


def passengers(rows: int) -> pd.DataFrame:
    """Three classes and two sexes, as one-hot columns, and an age."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "class": generator.choice(["first", "second", "third"], rows, p=[0.2, 0.3, 0.5]),
            "sex": generator.choice(["f", "m"], rows),
            "age": generator.normal(30, 10, rows),
        }
    )
    return pd.get_dummies(frame, dtype=float)


def test_one_hot_columns_whose_names_begin_alike_are_groups() -> None:
    frame = passengers(100)
    rows = read(frame, input_groups="one-hot")
    assert list(frame) == ["age", "class_first", "class_second", "class_third", "sex_f", "sex_m"]
    assert rows.groups is not None
    assert rows.groups.names == ("age", "class", "sex")
    dropped = read(frame.drop(columns=["sex_f", "class_first"]), input_groups="one-hot")
    assert dropped.groups is not None
    assert dropped.groups.names == ("age", "class", "sex_m")


@pytest.mark.parametrize(
    "data",
    [pd.DataFrame({"a_1": [0.0, 1.0] * 30, "a_2": [0.0, 1.0] * 30}), torch.zeros(60, 2)],
    ids=["two at a time", "no names"],
)
def test_other_columns_are_refused_as_one_hot(data: pd.DataFrame | torch.Tensor) -> None:
    with pytest.raises(nif.InputError, match="input_groups is 'one-hot'"):
        read(data, input_groups="one-hot")


def test_groups_have_names() -> None:
    rows = read(torch.zeros(60, 3), input_groups=["sex", "age", "sex"])
    assert rows.groups is not None
    assert (rows.groups.names, rows.groups.index.tolist()) == (("sex", "age"), [0, 1, 0])


def of_class_and_sex() -> nn.Module:
    """A network whose first unit reads two of the classes, and whose second one the sex."""
    net = nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[0, 1:4] = torch.tensor([0.0, 0.7, -0.7])  # the second and third class
        net[0].weight[1, 4:] = torch.tensor([0.5, -0.5])
    return net


@cache
def shares_of_groups() -> pd.Series:
    """Of what flows through `of_class_and_sex`."""
    method = nif.Currents(rows=60, backgrounds=16, steps=2, by_class=False, paths=0)
    flow = nif.measure(of_class_and_sex(), passengers(1000), method, input_groups="one-hot", progress=False)
    return flow.shares()["share"]


@pytest.mark.parametrize("estimator", [nif.Binned(), nif.Mine(hidden=16, folds=2, steps=20)])
def test_a_group_of_one_hot_columns_tells_what_its_category_tells(estimator: nif.Estimator) -> None:
    frame, net = passengers(1000), of_class_and_sex()
    method = nif.Association(estimator, beta=0)
    with pytest.warns(UserWarning, match="2 of 3 features have few values, such as 'sex' with 2"):
        links = nif.measure(net, frame, method, input_groups="one-hot", progress=False).edges()
    nats = links.set_index(["source_unit", "target_unit"])["nats"]
    for name, column in (("class", 0), ("sex", 1)):
        counts = frame[[c for c in frame if c.startswith(name)]].mean().to_numpy()
        entropy = -float((counts * np.log(counts)).sum())
        assert abs(nats[name, f"1[{column}]"] - entropy) < 0.08 * entropy
    shares = shares_of_groups()
    assert shares["age"] == 0
    assert abs(shares.sum() - 1) < 1e-5


def test_a_patch_that_fits_once_channels_come_first_is_told() -> None:
    with pytest.raises(InputError, match=r"Channels come first: pass x[.]movedim\(-1, 1\)"):
        groups(4, (8, 8, 3))


def test_marks_in_categories_and_in_other_names_do_not_part_a_block() -> None:
    generator = np.random.default_rng(0)
    columns = {
        "city": ["New_York", "Paris", "San_Jose_CA", "New_Haven"],
        "city_size": ["big", "small"],
        "cat__sort": ["No. 1", "No. 2", "Best"],
    }
    parts = {
        name: np.eye(len(values))[generator.integers(0, len(values), 200)] for name, values in columns.items()
    }
    names = ["city", "city_km", *(f"{name}_{value}" for name, values in columns.items() for value in values)]
    table = np.column_stack([generator.normal(size=(200, 2)), *parts.values()])
    found = groups("one-hot", (len(names),), names, torch.from_numpy(table))
    assert found.names == ("city", "city_km", "city_", "city_size", "cat__sort")
    assert found.index.tolist() == [0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4]
