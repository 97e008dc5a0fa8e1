"""Run the estimators of other libraries, in a separate environment, on the samples of ours.

Called by `estimators.py`: ``python peers.py LIBRARY SAMPLES.npz RESULT.json``. It does not import nif.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def ennemi(x: np.ndarray, y: np.ndarray) -> float:
    """KSG on a rescaled pair, as `pairwise_mi` does it for every pair of columns."""
    from ennemi import pairwise_mi

    return float(pairwise_mi(np.column_stack([x, y]), max_threads=1)[0, 1])


def infomeasure(x: np.ndarray, y: np.ndarray) -> float:
    """KSG with the library's own noise."""
    from infomeasure import mutual_information

    return float(mutual_information(x, y, approach="ksg"))


def scikit_learn(x: np.ndarray, y: np.ndarray) -> float:
    """KSG as feature selection uses it: clipped at 0."""
    from sklearn.feature_selection import mutual_info_regression

    return float(mutual_info_regression(x[:, None], y, random_state=0)[0])


LIBRARIES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ennemi": ennemi,
    "infomeasure": infomeasure,
    "scikit-learn": scikit_learn,
}


def main(library: str, samples: str, result: str) -> None:
    estimate = LIBRARIES[library]
    tasks = np.load(samples)
    names = [name.removesuffix(".x") for name in tasks.files if name.endswith(".x")]
    estimate(tasks[f"{names[0]}.x"][:200], tasks[f"{names[0]}.y"][:200])  # imports and compilation
    results = {}
    for name in names:
        start = time.perf_counter()
        nats = estimate(tasks[f"{name}.x"], tasks[f"{name}.y"])
        results[name] = {"nats": nats, "seconds": time.perf_counter() - start}
    Path(result).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
