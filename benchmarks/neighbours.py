"""`Ksg`: intervals on bounded shapes, p-values of vectors, and information given a third side.

``python benchmarks/neighbours.py [--repeats 200] [--only shapes vectors given time]`` prints a row as soon as
it is known: coverage of the 95 % interval, and the fraction rejected at .05 where nothing is shared.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

import nif
from environment import environment
from nif.estimators.estimate import Estimate, Estimator
from nif.estimators.shapes import SHAPES
from nif.estimators.truths import correlated_normal, normal_with, relu_pair, student

Sides = tuple[np.ndarray, ...]
Draw = Callable[[np.random.Generator, int], Sides]

SMOOTH = (correlated_normal(0.75), normal_with(2.0), student(1), relu_pair(0.75))


def shapes(repeats: int) -> None:
    """Intervals of numbers."""
    for samples in (300, 1_000, 2_000):
        for truth in (*SHAPES, *SMOOTH):
            drawn = [truth.sample(samples, seed) for seed in range(repeats)]
            x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
            row(truth.name, samples, nif.Ksg().estimate(x, y), truth.nats)


def vectors(repeats: int) -> None:
    """p-values of independent vectors."""
    kinds: dict[str, Draw] = {
        "normal 2 x 2": lambda g, n: tuple(g.normal(size=(2, n, 2))),
        "Student 3 x 1": lambda g, n: (g.standard_t(2, size=(n, 3)), g.normal(size=(n, 1))),
        "ReLU 2 x 2": lambda g, n: tuple(np.maximum(g.normal(size=(2, n, 2)), 0)),
        "coins 3 x 3": lambda g, n: tuple(g.integers(0, 2, size=(2, n, 3))),
    }
    for name, draw in kinds.items():
        row(name, 200, repeated(nif.Ksg(), draw, 200, 2 * repeats), 0.0)
    scaled = repeated(nif.Ksg(), kinds["ReLU 2 x 2"], 1_200, max(10, repeats * 3 // 5))  # its null is scaled
    row("ReLU 2 x 2", 1_200, scaled, 0.0)


def partial(effect: float, columns: int = 1) -> Draw:
    """Normal numbers with a partial correlation, both with a correlation of .8 to the mean of z."""

    def draw(g: np.random.Generator, n: int) -> Sides:
        z, (e, f) = g.normal(size=(n, columns)), g.normal(size=(2, n))
        common = 0.8 * z.sum(axis=1) / math.sqrt(columns)
        return common + 0.6 * e, common + 0.6 * (effect * e + math.sqrt(1 - effect**2) * f), z

    return draw


def fork(of_x: Callable[[np.ndarray], np.ndarray], z_of: Callable[[np.ndarray], np.ndarray]) -> Draw:
    """x and y depend on z alone."""

    def draw(g: np.random.Generator, n: int) -> Sides:
        z = z_of(g.normal(size=n))
        return of_x(z) + g.normal(size=n) / 2, of_x(z) + g.normal(size=n) / 2, z

    return draw


GIVEN: dict[str, tuple[Draw, float]] = {
    "normal": (partial(0.0), 0.0),
    "normal, z of 3": (partial(0.0, 3), 0.0),
    "square of z": (fork(np.square, np.asarray), 0.0),
    "z of 3 values": (fork(np.asarray, lambda z: np.digitize(z, [-0.5, 0.5]) * 1.0), 0.0),
    "ReLU of z": (fork(lambda z: np.maximum(z, 0), np.asarray), 0.0),
    "normal, partial .6": (partial(0.6), -0.5 * math.log1p(-0.36)),
    "normal, partial .6, z of 3": (partial(0.6, 3), -0.5 * math.log1p(-0.36)),
}


def given(repeats: int) -> None:
    """p-values where x and y are independent given z; intervals where they are not."""
    for name, (draw, nats) in GIVEN.items():
        row(name, 300, repeated(nif.Ksg(), draw, 300, repeats), nats)
    of_differences(nif.GaussianCopula(), repeats)


def critics(repeats: int) -> None:
    """The same by critics."""
    of_differences(nif.Mine(), max(20, repeats // 10))


def of_differences(estimator: Estimator, repeats: int) -> None:
    for name in ("normal", "normal, partial .6"):
        draw, nats = GIVEN[name]
        row(name, 300, repeated(estimator, draw, 300, repeats), nats)


def repeated(estimator: Estimator, draw: Draw, samples: int, repeats: int) -> Estimate:
    """Of many data sets."""
    found = []
    for seed in range(repeats):
        x, y, *z = draw(np.random.default_rng([seed, samples]), samples)
        found.append(nif.estimate(x, y, estimator, given=z[0] if z else None))
    values = [np.array([getattr(one, name) for one in found]) for name in ("nats", "stderr", "p_value")]
    nats, stderr, p_value = values
    return Estimate.of(nats, stderr=stderr, p_value=p_value, samples=samples, estimator=found[0].estimator)


def row(name: str, samples: int, estimate: Estimate, truth: float) -> None:
    """Print what many estimates of one truth have in common."""
    low, high = estimate.interval()
    covered = ((low <= truth) & (truth <= high)).mean()
    print(
        f"{estimate.estimator.replace('k=7, permutations=200', ''):28s} {name:28s} N {samples:5d} "
        f"repeats {estimate.nats.size:4d}  truth {truth:.4f}  bias {estimate.nats.mean() - truth:+.4f}  "
        f"deviation {estimate.nats.std():.4f}  stderr {estimate.stderr.mean():.4f}  covered {covered:.3f}  "
        f"rejected {(estimate.p_value < 0.05).mean():.4f}",
        flush=True,
    )


def times(_: int) -> None:
    """Seconds of the processor for one pair of vectors, null included."""
    generator = np.random.default_rng(0)
    for samples, columns in ((60, 2), (1_000, 3), (5_000, 3), (500, 25), (5_000, 25)):
        x, noise = generator.normal(size=(2, samples, columns))
        begin = time.process_time()
        nif.estimate(x, x + noise, nif.Ksg())
        if samples > 60:  # the first compiles
            print(
                f"{columns} x {columns} at N = {samples:,}: {time.process_time() - begin:.1f} s", flush=True
            )


PARTS = {"shapes": shapes, "vectors": vectors, "given": given, "critics": critics, "time": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    options = parser.parse_args()
    print(environment())
    for name in options.only:
        PARTS[name](options.repeats)


if __name__ == "__main__":
    main()
