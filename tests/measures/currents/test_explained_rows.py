"""Rows to explain: against 512 midpoint steps of each row's own v, and what else is required of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.data.rows import read

POOL, ROWS = 24, 3


class Reader(nn.Module):
    """Token ids to two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.head = nn.Embedding(9, 4), nn.Linear(12, 8), nn.Linear(8, 2)

    def after(self, embedded: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(embedded.flatten(1))))

    def forward(self, ids: Tensor) -> Tensor:
        return self.after(self.words(ids))


class Masked(Reader):
    """Some tokens are padding."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.after(self.words(ids) * mask[..., None].to(self.head.weight.dtype))


def sharp(net: nn.Sequential) -> nn.Sequential:
    """With decisions that differ from row to row."""
    net[-1].weight.data *= 6.0
    return net


def mlp(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return sharp(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, outputs)))


def convolution() -> nn.Sequential:
    torch.manual_seed(1)
    return sharp(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        )
    )


def data(*shape: int, count: int = POOL, seed: int = 0) -> Tensor:
    return 1.5 * torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed)).double()


def every(**options: object) -> nif.Currents:
    """Each row is compared with all of the pool, which weigh alike."""
    chosen = {"backgrounds": POOL, "steps": 32, "paths": 0, **options}
    return nif.Currents(**chosen)  # type: ignore[arg-type]


def midpoints(
    outputs: Callable[[Tensor], Tensor],
    pool: Tensor,
    row: Tensor,
    terms: Callable[[Tensor, Tensor], Tensor],
    steps: int = 512,
) -> tuple[Tensor, Tensor]:
    """Currents ``[term, number]`` and rises of the terms of v of one row, in float64; some steps at once."""
    at_row, currents = outputs(row[None]).detach(), 0.0
    for some in ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).split(64):
        stops = some.reshape(-1, *[1] * pool.dim())
        there = (pool + stops * (row - pool)).flatten(0, 1).requires_grad_()
        of_terms = terms(outputs(there).unflatten(0, (len(some), len(pool))), at_row).sum(0)
        slopes = torch.stack([torch.autograd.grad(term, there, retain_graph=True)[0] for term in of_terms])
        moves = slopes.unflatten(1, (len(some), len(pool))) * (row - pool)
        currents = currents + moves.sum((1, 2)) / steps
    rise = terms(outputs(row[None]), at_row) - terms(outputs(pool), at_row)
    return torch.as_tensor(currents), rise.detach()


def of_classes(logits: Tensor, at_row: Tensor) -> Tensor:
    return at_row.softmax(1)[0] * logits.softmax(-1).mean(-2).log()


def of_values(deviation: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Through noise of this deviation, by 200 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)

    def terms(values: Tensor, at_row: Tensor) -> Tensor:
        seen = at_row + deviation * torch.as_tensor(nodes)
        mean = torch.exp(-0.5 * ((seen - values) / deviation).square()).mean(-2).log()
        return (mean @ torch.as_tensor(weights / weights.sum()))[..., None]

    return terms


CASES = {
    "mlp": (mlp, (4,), of_classes),
    "image": (convolution, (1, 4, 4), of_classes),
}


@pytest.mark.parametrize("case", CASES)
def test_currents_of_given_rows_are_those_of_midpoint_steps(case: str) -> None:
    network, shape, terms = CASES[case]
    net, pool, rows = network().double(), data(*shape), data(*shape, count=ROWS, seed=1)
    flow = nif.measure(net, pool, every(), explain=rows, progress=False)
    tables = flow.currents
    assert tables is not None and tables.row_attribution is not None
    for row in range(ROWS):
        currents, rise = midpoints(net, pool, rows[row], terms)
        whole = flow.local().loc[row]
        scale = float(rise.sum())
        np.testing.assert_allclose(whole, currents.sum(0).flatten(), atol=5e-3 * scale)
        np.testing.assert_allclose(tables.row_attribution[row].T, currents.flatten(1), atol=5e-3 * scale)
        assert whole.sum() == pytest.approx(scale, abs=1e-6)
        np.testing.assert_allclose(tables.row_attribution[row].sum(0), rise, atol=1e-6)


def test_token_ids_of_a_given_row_are_followed_through_their_embeddings() -> None:
    torch.manual_seed(2)
    net = Reader().double()
    ids = torch.randint(0, 9, (POOL + ROWS, 3))
    flow = nif.measure(net, ids[:POOL], every(steps=64), explain=ids[POOL:], progress=False)
    vectors = net.words(ids).detach()
    for row in range(ROWS):
        currents, rise = midpoints(net.after, vectors[:POOL], vectors[POOL + row], of_classes)
        found = flow.local().loc[row]
        np.testing.assert_allclose(found, currents.sum((0, 2)), atol=5e-3 * float(rise.sum()))
        assert found.sum() == pytest.approx(float(rise.sum()), abs=1e-6)


def test_the_noise_of_a_value_is_that_of_the_data_whatever_rows_are_given() -> None:
    net, pool, rows = mlp(1).double(), data(4), data(4, count=ROWS, seed=1)
    flow = nif.measure(net, pool, every(noise=1.0), explain=rows, progress=False)
    terms = of_values(float(net(pool).detach().std()))
    for row in range(ROWS):
        currents, rise = midpoints(net, pool, rows[row], terms)
        np.testing.assert_allclose(flow.local().loc[row], currents[0], atol=5e-3 * float(rise))
        alone = nif.measure(net, pool, every(noise=1.0), explain=rows[row : row + 1], progress=False)
        np.testing.assert_allclose(alone.local().loc[0], flow.local().loc[row], atol=1e-6)


def test_given_rows_count_alike_and_average_to_the_flow() -> None:
    net, pool, rows = mlp(), data(4, count=300).float(), data(4, count=7, seed=1).float()
    flow = nif.measure(net, pool, nif.Currents(rows=3, backgrounds=16, steps=4), explain=rows, progress=False)
    assert flow.rows.tolist() == list(range(7)) and flow.measurement.samples == 7
    features = flow.local()
    np.testing.assert_array_equal(features.attrs["weights"], np.full(7, 1 / 7))
    mean = np.average(features, axis=0, weights=features.attrs["weights"])
    np.testing.assert_allclose(mean, flow.neurons().loc["input", "current"], atol=1e-6)
    units = np.mean([flow.local(row)["current"] for row in range(7)], axis=0)
    np.testing.assert_allclose(units, flow.neurons()["current"], atol=1e-6)
    assert flow.currents is not None and flow.currents.row_attribution is not None
    np.testing.assert_allclose(flow.currents.row_attribution.mean(0), flow.attribution(), atol=1e-6)
    p, q = (net(x).detach().double().softmax(1) for x in (pool, rows))
    exact = (q * (q / p.mean(0)).log()).sum(1)
    assert flow.total is not None and flow.total.nats == pytest.approx(float(exact.mean()), rel=0.01)
    assert "over 7 given rows" in flow.measurement.options["total_is"] and "7 given rows" in repr(flow)


@pytest.mark.slow
def test_errors_of_given_rows_are_those_of_the_backgrounds() -> None:
    """They hold the value of a large pool, and vanish as the pool grows, with one row as with many."""
    net, rows = mlp(), data(4, count=2, seed=1).float()
    method = nif.Currents(backgrounds=32, steps=2, by_class=False, paths=0)
    large = nif.measure(net, data(4, count=4000, seed=99).float(), method, explain=rows, progress=False)
    assert large.total is not None
    shown, spread = [], []
    for seed in range(20):
        pool = data(4, count=200, seed=seed).float()
        total = nif.measure(net, pool, method, explain=rows, progress=False).total
        assert total is not None
        shown.append(total.stderr)
        spread.append(total.nats - large.total.nats)
    assert 0.6 < np.sqrt(np.mean(np.square(shown)) / np.mean(np.square(spread))) < 1.7
    assert large.total.stderr < 0.5 * np.mean(shown)


def test_given_rows_of_several_lengths_are_compared_with_their_own() -> None:
    torch.manual_seed(3)
    net = Masked().double()
    ids, mask = torch.randint(0, 9, (POOL, 3)), torch.ones(POOL, 3, dtype=torch.int64)
    mask[:10, 2] = 0
    rows = ids[[0, 20, 1]], mask[[0, 20, 1]]
    flow = nif.measure(net, (ids, mask), every(), explain=rows, progress=False)
    assert "given mask" in flow.measurement.options["total_is"]
    np.testing.assert_allclose(flow.local().attrs["weights"], np.full(3, 1 / 3))
    p, q = (net(*given).detach().softmax(1) for given in ((ids, mask), rows))
    same = [slice(0, 10), slice(10, POOL), slice(0, 10)]
    exact = [float((q[row] * (q[row] / p[of].mean(0)).log()).sum()) for row, of in enumerate(same)]
    np.testing.assert_allclose(flow.local().sum(axis=1), exact, atol=1e-6)
    assert flow.total is not None and flow.total.stderr > 0
    alone = mask[:1].clone()
    alone[0, 0] = 0
    with pytest.raises(InputError, match="Row 0 of explain= has no background row with the same mask"):
        nif.measure(net, (ids, mask), every(), explain=(ids[:1], alone), progress=False)


def test_labels_come_with_the_given_rows() -> None:
    net, pool, rows = mlp(), data(4).float(), data(4, count=ROWS, seed=1).float()
    labels = [(x, y) for x, y in zip(pool, torch.zeros(POOL, dtype=torch.int64), strict=True)]
    given = torch.utils.data.TensorDataset(rows, torch.tensor([0, 2, 1]))
    data_of = torch.utils.data.TensorDataset(pool, torch.stack([y for _, y in labels]))
    flow = nif.measure(net, data_of, every(decision="labels"), explain=given, progress=False)
    p, q = (net(x).detach().double().softmax(1) for x in (pool, rows))
    gain = [float((q[row, y] / p.mean(0)[y]).log()) for row, y in enumerate([0, 2, 1])]
    np.testing.assert_allclose(flow.local().sum(axis=1), gain, atol=1e-5)
    assert "information about the label" in flow.measurement.options["total_is"]
    with pytest.raises(InputError, match="needs labels"):
        nif.measure(net, data_of, every(decision="labels"), explain=rows, progress=False)


def test_a_pool_of_backgrounds_takes_the_place_of_data_and_one_row_is_a_baseline() -> None:
    net, x, rows = mlp().double(), data(4), data(4, count=ROWS, seed=1)
    flow = nif.measure(net, x, every(), explain=rows, background=x[:9], progress=False)
    alone = nif.measure(net, x[:9], every(), explain=rows, progress=False)
    np.testing.assert_allclose(flow.local(), alone.local(), atol=1e-7)
    with pytest.warns(UserWarning, match="no spread"):
        baseline = nif.measure(net, torch.zeros(1, 4).double(), every(), explain=rows[:1], progress=False)
    currents, _ = midpoints(net, torch.zeros(1, 4).double(), rows[0], of_classes)
    np.testing.assert_allclose(baseline.local().loc[0], currents.sum(0), atol=1e-3)


def test_rows_are_given_in_any_form_and_columns_are_compared() -> None:
    net, names, few = mlp(), ["a", "b", "c", "d"], every(steps=2)
    frame = pd.DataFrame(data(4).numpy(), columns=names)
    rows = pd.DataFrame(data(4, count=ROWS, seed=1).numpy(), columns=names)
    expected = nif.measure(net, frame, few, explain=rows.to_numpy(), progress=False)
    tensor = data(4, count=ROWS, seed=1)
    for given in (rows, torch.utils.data.DataLoader(tensor, batch_size=2), tensor, read(rows)):
        found = nif.measure(net, frame, few, explain=given, progress=False)
        pd.testing.assert_frame_equal(found.local(), expected.local())
    with pytest.raises(InputError, match="in another order: b, a, c, d and a, b, c, d"):
        nif.measure(net, frame, few, explain=rows[["b", "a", "c", "d"]], progress=False)
    with pytest.raises(InputError, match="background are those of the data in another order"):
        nif.measure(net, frame, few, background=rows[["b", "a", "c", "d"]], progress=False)


def test_what_cannot_be_explained_is_refused() -> None:
    net, x = mlp(), data(4)
    with pytest.raises(InputError, match=r"rows to explain have shape \[3, 5\] and the data \[24, 4\]"):
        nif.measure(net, x, explain=data(5, count=3), progress=False)
    with pytest.raises(InputError, match="Backgrounds of each row"):
        nif.measure(net, x, explain=x[:2], background=data(2, 4), progress=False)
    with pytest.raises(InputError, match="explain is for currents"):
        nif.measure(net, x, nif.Binned(), explain=x[:2], progress=False)
    for data_of, rows in ((x[:1], x[1:2]), (x[:1].expand(9, 4), x[1:])):  # no noise is known
        with pytest.raises(InputError, match="there it is the same in all rows"):
            nif.measure(mlp(1), data_of, explain=rows, progress=False)
    with pytest.raises(InputError, match="NaN"):
        nif.measure(net, x, explain=torch.full((1, 4), torch.nan), progress=False)


def test_drawn_rows_keep_their_numbers_in_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 rows 50 are read, and of these 10 are explained: their numbers are those in the 300."""
    monkeypatch.setattr("nif.measures.currents.currents.POOL", 50)
    net, x = mlp().double(), data(4, count=300)
    loader = torch.utils.data.DataLoader(x, batch_size=64)
    for given in (x, loader):
        flow = nif.measure(net, given, nif.Currents(rows=10, backgrounds=49, steps=4), progress=False)
        assert flow.rows.max() > 50 and flow.currents is not None
        order = np.argsort(flow.currents.rows)
        assert flow.currents.row_features is not None
        np.testing.assert_array_equal(flow.currents.row_features[order], x[flow.rows].numpy())
        again = nif.measure(
            net, x, nif.Currents(backgrounds=300, steps=4), explain=x[flow.rows], progress=False
        )
        assert np.corrcoef(flow.local().to_numpy().ravel(), again.local().to_numpy().ravel())[0, 1] > 0.9


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    net, x = mlp().train(), data(4).float()
    before = [value.clone() for value in net.state_dict().values()]
    torch.manual_seed(5)
    state, rows = torch.get_rng_state(), x[:2].clone()
    first, second = (nif.measure(net, x, explain=rows, progress=False) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state) and net.training and torch.equal(rows, x[:2])
    assert all(map(torch.equal, before, net.state_dict().values()))
    assert first == second
