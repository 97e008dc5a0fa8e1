"""How much the seed moves an estimate where rows are few, in standard errors.

``python benchmarks/few_rows.py [--seeds 20] [--pairs 24]`` prints the median and the 90th percentile
over links of the deviation over seeds in standard errors, for networks trained on iris and wine.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_iris, load_wine

import nif
from environment import environment
from nif.cli.experiment.classifier import classifier, train
from nif.estimators.estimate import Estimator

Sides = tuple[np.ndarray, np.ndarray]


def links(name: str, rows: int, count: int) -> Sides:
    """Pairs of units of consecutive layers of a trained network, drawn at random."""
    values, labels = (load_iris if name == "iris" else load_wine)(return_X_y=True)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    chosen = np.random.default_rng(0).permutation(len(values))[:rows]
    x, y = torch.tensor(values[chosen], dtype=torch.float32), torch.tensor(labels[chosen])
    model = classifier((x.shape[1], 10, 10, 3), seed=0)
    train(model, x, y, epochs=60, seed=0)
    layers, hidden = [x], x
    with torch.no_grad():
        for layer in model.children():
            hidden = layer(hidden)
            if isinstance(layer, torch.nn.ReLU):
                layers.append(hidden)
    columns = [layer.numpy().astype(np.float64) for layer in (*layers, hidden)]
    columns = [layer[:, layer.std(axis=0) > 0] for layer in columns]
    pairs = [(a, b) for left, right in itertools.pairwise(columns) for a in left.T for b in right.T]
    picked = np.random.default_rng(0).permutation(len(pairs))[:count]
    x_sides, y_sides = (np.stack([pairs[pair][side] for pair in picked])[:, :, None] for side in (0, 1))
    return x_sides, y_sides


def moved(estimator: Estimator, name: str, rows: int, seeds: int, count: int) -> dict[str, object]:
    """Deviation over seeds in standard errors, and milliseconds of the processor a pair."""
    x, y = links(name, rows, count)
    estimator.estimate(x[:1], y[:1])
    start = time.process_time()
    estimates = [estimator.estimate(x, y, seed=seed) for seed in range(seeds)]
    milliseconds = 1e3 * (time.process_time() - start) / seeds / len(x)
    deviation = np.std([estimate.nats for estimate in estimates], axis=0, ddof=1)
    ratio = deviation / np.mean([estimate.stderr for estimate in estimates], axis=0)
    return {
        "estimator": repr(estimator), "data": name, "rows": rows, "seeds": seeds, "links": len(x),
        "median": np.median(ratio), "90 %": np.quantile(ratio, 0.9), "ms a pair": milliseconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=24)
    options = parser.parse_args()
    print(environment())
    table = [
        moved(estimator, name, rows, options.seeds, options.pairs)
        for estimator in (nif.Binned(), nif.Mine())
        for name in ("iris", "wine")
        for rows in (75, 100, 150)
    ]
    print(pd.DataFrame(table).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
