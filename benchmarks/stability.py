"""Stability of the links of one network over seeds of the estimator.

``NIF_DATA=... python benchmarks/stability.py [--seeds 5]``: Spearman correlation of the link weights of the
banknote network between seeds, and whether the same seed gives the same flow, bit for bit.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import torch
from scipy.stats import spearmanr

import nif
from environment import environment
from nif import datasets
from nif.cli.experiment.classifier import classifier, train


def banknote_network() -> tuple[torch.nn.Module, torch.Tensor]:
    """The demo's network, trained, with the data it was trained on."""
    data = datasets.split(datasets.load("banknote"), seed=0).train
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    model = classifier((4, 10, 10, 2), seed=0)
    train(model, x, y, epochs=60, seed=0)
    return model, x


def weights(flow: nif.Flow) -> np.ndarray:
    """All link weights of a flow in one row."""
    return np.concatenate([links.nats.ravel() for links in flow.links])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    model, x = banknote_network()
    print(environment())
    for estimator in (nif.Mine(), nif.Binned()):
        start = time.perf_counter()
        flows = [
            weights(nif.measure(model, x, estimator, seed=seed, progress=False))
            for seed in range(options.seeds)
        ]
        seconds = (time.perf_counter() - start) / options.seeds
        again = weights(nif.measure(model, x, estimator, seed=0, progress=False))
        pairs = [
            float(spearmanr(first, second).statistic) for first, second in itertools.combinations(flows, 2)
        ]
        print(
            f"banknote 4-10-10-2, {len(x)} samples, {len(again)} links, {estimator!r}: Spearman between "
            f"{options.seeds} seeds mean {np.mean(pairs):.4f}, least {np.min(pairs):.4f}; same seed bitwise "
            f"equal: {again.tobytes() == flows[0].tobytes()}; {seconds:.1f} s a flow"
        )


if __name__ == "__main__":
    main()
