"""Association of rows that depend on each other: links, attributions and layers of a whole network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor, nn

import nif
from nif.estimators.dependent_rows import of_dependent_rows
from nif.flow.flow import Flow
from nif.flow.paths import Dag, attribution
from nif.measures.association.errors import FEWEST_BLOCKS, ROWS_OF_BLOCKS, Terms, attribution_errors
from nif.measures.association.row_influence import BinnedInfluence, CopulaInfluence, RowInfluence


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def series(seed: int, rows: int = 1000, columns: int = 3) -> Tensor:
    steps = np.random.default_rng(seed).normal(size=(rows + 200, columns)) * 0.19**0.5
    return torch.from_numpy(lfilter([1], [1, -0.9], steps, axis=0)[200:]).float()


def measured(rows: Tensor, **options: object) -> Flow:
    method = nif.Association(nif.GaussianCopula(), **options)  # type: ignore[arg-type]
    return nif.measure(network(), rows, method, progress=False)


@pytest.mark.slow
def test_errors_of_attributions_and_layers_are_the_deviation_over_samples() -> None:
    flows = [measured(series(seed), blocks=50) for seed in range(40)]
    with pytest.warns(UserWarning, match="as in a time series"):
        naive = measured(series(0))
    assert flows[0].links[0].nats.tolist() == naive.links[0].nats.tolist()
    spread = np.std([flow.attribution().to_numpy() for flow in flows], axis=0).mean()
    said = np.mean([flow.attribution_stderr().to_numpy() for flow in flows])
    assert 0.8 * spread < said < 1.4 * spread
    assert naive.attribution_stderr().to_numpy().mean() < 0.6 * spread
    for side in ("inflow", "outflow"):
        spread = np.std([flow.neurons()[side] for flow in flows], axis=0)
        said = np.mean([getattr(flow.errors, side) for flow in flows], axis=0)
        moving = spread > 0
        assert 0.75 < (said[moving] / spread[moving]).mean() < 1.5


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_features_that_the_output_does_not_rest_on_are_not_significant() -> None:
    net = network()
    with torch.no_grad():
        net[0].weight[:, 2] = 0.0
    method, wrong = nif.Association(nif.GaussianCopula(), blocks=50), []
    for seed in range(60):
        flow = nif.measure(net, series(seed), method, progress=False)
        wrong.append(flow.links[0].dense("p_value")[2] < 0.05)
    assert np.mean(wrong) < 0.12


@pytest.mark.parametrize("influence", [BinnedInfluence, CopulaInfluence])
def test_errors_of_sums_are_those_of_blocks_that_move_together(influence: type[RowInfluence]) -> None:
    """Rows that come five times each, in blocks, have the errors of the rows alone times the root of five."""
    generator = np.random.default_rng(0)
    values = [generator.normal(size=(120, 3))]
    values.append(values[0] @ generator.normal(size=(3, 2)) + generator.normal(size=(120, 2)))
    errors, flow = generator.uniform(0.01, 0.1, (3, 2)), None
    links = nif.core.types.Links(0, 1, *[generator.uniform(0.1, 0.3, (3, 2))] * 4)
    dag, within = Dag((3, 2), (links,)), np.full((3, 3), 0.02)
    alone = attribution_errors(dag, Terms(values, {0: within}, {(0, 1): errors}, influence=influence))
    order = np.repeat(np.arange(120), 5)
    shuffled = generator.permutation(600)
    flow = attribution_errors(
        dag,
        Terms(
            [layer[order][shuffled] for layer in values],
            {0: within},
            {(0, 1): errors},
            influence=influence,
            block=order[shuffled],
        ),
    )
    assert attribution(dag).shape == flow.attribution.shape
    np.testing.assert_allclose(flow.attribution, alone.attribution, rtol=0.02)
    np.testing.assert_allclose(flow.inflow, alone.inflow, rtol=0.02)
    np.testing.assert_allclose(flow.outflow, alone.outflow, rtol=0.02)


def test_whole_blocks_are_drawn_of_many_rows() -> None:
    for rows, length in ((3 * ROWS_OF_BLOCKS, 10), (100 * 500, 500)):
        terms = Terms([np.zeros((rows, 1))], block=np.arange(rows) // length)
        kept, starts = terms.drawn(seed=0)
        assert starts is not None
        assert np.unique(terms.block[kept], return_counts=True)[1].tolist() == [length] * (
            len(kept) // length
        )
        assert len(kept) // length >= FEWEST_BLOCKS and len(kept) < rows
        assert len(starts) == min(200, len(kept) // length)


def test_positions_of_a_row_are_in_its_block() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Tanh(), nn.Conv1d(2, 1, 1))
    rows = torch.randn(60, 2, 1) * torch.ones(60, 2, 12) + 0.1 * torch.randn(60, 2, 12)

    def links(**options: int) -> np.ndarray:
        method = nif.Association(nif.GaussianCopula(), **options)
        flow = nif.measure(net, rows, method, reduce="positions", progress=False)
        return np.asarray(flow.links[0].stderr)

    # Positions of a row are nearly the same, so that ten of them tell little more than one.
    assert np.median(links(blocks=1) / links()) > 2


def test_options_of_the_flow_say_how_many_blocks(tmp_path: object) -> None:
    flow = measured(series(0), blocks=np.arange(1000) // 40)
    assert flow.measurement.options["blocks"] == 25
    flow.save(f"{tmp_path}/flow.safetensors")
    assert nif.load(f"{tmp_path}/flow.safetensors") == flow
    assert "1000 samples in 25 blocks, " in repr(flow) and "array" not in repr(flow)
    assert measured(series(0), blocks=40) == flow


def test_blocks_need_errors_of_single_rows() -> None:
    for options in ({"relevance": "layer", "noise": 0.1}, {"critic": "shared"}):
        with pytest.raises(nif.InputError, match="blocks cannot be combined"):
            nif.Association(blocks=10, **options)
    with pytest.raises(nif.InputError, match="of 4 blocks; expected 10 or more"):
        measured(series(0), blocks=250)
    assert repr(of_dependent_rows(nif.Binned(), None)) == "Binned()"
