"""Pictures and reports for the pages, drawn from real runs each time the site is built."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mkdocs.structure.files import File
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from torch.utils.data import TensorDataset

import nif
from nif.cli.experiment.classifier import classifier, train
from nif.network.preserve import one_thread

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated files to the site."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


@cache
def start_here(method: nif.Association | nif.Currents) -> nif.Flow:
    """A flow of the network of the page `Start here`."""
    data = load_iris(as_frame=True)
    x = (data.data - data.data.mean()) / data.data.std()
    x.columns = [name.removesuffix(" (cm)") for name in x.columns]
    x.attrs["name"] = "iris"
    with one_thread():
        model = MLPClassifier((10, 6), max_iter=2000, random_state=0).fit(x, data.target)
    return nif.measure(model, (x, data.target), method, class_names=data.target_names, progress=False)


def iris() -> nif.Flow:
    """What its neurons tell of each other."""
    return start_here(nif.Association(nif.Binned()))


def currents() -> nif.Flow:
    """What its decisions use."""
    return start_here(nif.Currents())


@cache
def digits() -> tuple[nif.Flow, nif.Pruned]:
    """The flow of a network that reads digits of 8 x 8 pixels, and its pruning."""
    data = nif.datasets.split(nif.datasets.load("digits"), seed=0).train
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    names = {"feature_names": data.feature_names, "class_names": data.class_names}
    model = classifier((64, 32, 16, 10), seed=0)
    with one_thread():
        train(model, x, y, epochs=40, seed=0)
        flow = nif.measure(model, x, nif.Binned(), progress=False, **names)
        small = nif.prune(model, flow, TensorDataset(x, y), remove=0.5, tolerance=0.01, progress=False)
    return flow, small


def network() -> bytes:
    """The currents of the network of iris."""
    figure = Figure(figsize=(9, 5))
    currents().plot(figure.add_axes((0.01, 0.01, 0.98, 0.98)))
    return png(figure)


def sankey() -> bytes:
    """The currents of that network as ribbons."""
    figure = Figure(figsize=(7.2, 5))
    nif.plots.sankey(currents(), ax=figure.add_axes((0.01, 0.01, 0.98, 0.98)))
    return png(figure)


@cache
def planted() -> tuple[nif.Flow, nif.Flow]:
    """What units tell of a decision and what is used, where one feature is ignored and two count together.

    The class rests on `x1` and on whether `a` and `b` have the same sign; the weights of a noisy copy of `x1`
    are 0.
    """
    generator = torch.Generator().manual_seed(0)
    x1, a, b, unrelated, noise = torch.randn(5, 1500, generator=generator)
    y = (4 * x1 + 3 * torch.sign(a * b) + 0.3 * noise > 0).long()
    x = torch.stack([x1, x1 + 0.3 * unrelated, a, b], dim=1)
    model = classifier((4, 16, 8, 2), seed=0)
    with one_thread(), torch.no_grad():
        weights = model[0].weight[:, 1]
        weights.zero_()
        with torch.enable_grad():
            train(model, x * torch.tensor([1.0, 0.0, 1.0, 1.0]), y, epochs=40, seed=0)
        weights.zero_()
        names = ["x1", "copy of x1", "a", "b"]
        methods = nif.DecisionInformation(), nif.Currents(by_class=False, paths=0)
        known, used = (
            nif.measure(model, x, method, feature_names=names, progress=False) for method in methods
        )
    return known, used


def known_and_used() -> bytes:
    """What the units of that network tell, against what of it is used."""
    return one_axes(lambda ax: nif.plots.known_and_used(*planted(), ax=ax), 7, 4.8)


def pixels() -> bytes:
    """Attribution of each pixel to three of the digits."""
    flow, _ = digits()
    table = 100 * flow.shares(by_class=True)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    chosen = list(table.columns[[0, 3, 7]])
    most = float(table[chosen].to_numpy().max())
    for ax, name in zip(figure.subplots(1, 3), chosen, strict=True):
        drawn = ax.imshow(table[name].to_numpy().reshape(8, 8), cmap="cividis", vmin=0, vmax=most)
        ax.set_title(f"to class {name}")
        ax.set_axis_off()
    figure.colorbar(drawn, ax=figure.axes, label="share of the attribution, %", shrink=0.8)
    return png(figure)


def resolution() -> bytes:
    """Information of a unit and its input, with and without noise, by number of samples."""
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    ax = figure.subplots()
    generator = np.random.default_rng(0)
    curves: dict[str, list[float]] = {"no noise": [], "noise 0.1 of the unit's deviation": []}
    for size in SIZES:
        x = generator.uniform(-1, 1, size)
        unit = np.tanh(3 * x)
        noisy = unit + 0.1 * unit.std() * generator.normal(size=size)
        for nats, observed in zip(curves.values(), (unit, noisy), strict=True):
            nats.append(float(nif.estimate(x, observed, estimator=nif.Binned()).nats))
    for (name, nats), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
        ax.plot(SIZES, nats, "o-", color=colour, label=name)
    ax.set(xscale="log", xlabel="rows of data", ylabel="nats", ylim=(0, None), title="I(x; tanh 3x), Binned")
    ax.legend()
    return png(figure)


def samples() -> bytes:
    """Estimates of a weak dependence with their intervals, by number of samples."""
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    ax = figure.subplots()
    generator = np.random.default_rng(1)
    for size in SIZES:
        x, other = generator.normal(size=(2, size))
        y = 0.3 * x + np.sqrt(1 - 0.09) * other
        estimate = nif.estimate(x, y, estimator=nif.GaussianCopula())
        low, high = estimate.interval()
        ax.plot([size, size], [low, high], color=BLUE)
        colour = BLUE if estimate.p_value < 0.05 else "white"
        ax.plot(size, estimate.nats, "o", color=colour, markeredgecolor=BLUE)
    ax.axhline(-0.5 * np.log(1 - 0.09), color=GREEN, label="true value")
    ax.set(xscale="log", xlabel="rows of data", ylabel="nats", title="Correlation 0.3")
    ax.plot([], [], "o", color="white", markeredgecolor=BLUE, label="p ≥ .05")
    ax.legend()
    return png(figure)


def one_axes(draw: Callable[[Axes], object], width: float = 7, height: float = 4.5) -> bytes:
    """The figure that a function of `nif.plots` draws."""
    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure.subplots())
    return png(figure)


def watched() -> bytes:
    """A training run, measured every few epochs."""
    data = nif.datasets.split(nif.datasets.load("digits"), seed=0).train
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    torch.manual_seed(0)
    model = classifier((64, 32, 16, 10), seed=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    watch = nif.Watch(model, x, every=8)
    with one_thread():
        for epoch in range(41):
            watch.step(epoch)
            for rows in torch.randperm(len(x)).split(64):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimiser.step()
    figure = Figure(figsize=(9, 9), layout="constrained")
    watch.plot(figure.subplots(4, 1, sharex=True, height_ratios=(1.7, 2, 1.2, 2.6)))
    return png(figure)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=150)
    return target.getvalue()


def report_of(flow: nif.Flow, pruned: nif.Pruned | None = None) -> bytes:
    """A report as the bytes of an HTML file."""
    with tempfile.TemporaryDirectory() as folder:
        flow.report(Path(folder) / "flow.html", pruned=pruned)
        return (Path(folder) / "flow.html").read_bytes()


GENERATED: dict[str, Callable[[], bytes]] = {
    "pictures/iris.png": network,
    "pictures/digits.png": pixels,
    "pictures/attribution.png": lambda: one_axes(
        lambda ax: nif.plots.attribution(digits()[0], label="3", ax=ax)
    ),
    "pictures/profile.png": lambda: one_axes(lambda ax: nif.plots.profile(digits()[0], ax=ax)),
    "pictures/communities.png": lambda: one_axes(lambda ax: nif.plots.communities(digits()[0], ax=ax)),
    "pictures/links.png": lambda: one_axes(lambda ax: nif.plots.links(digits()[0], "relu1", "relu2", ax=ax)),
    "pictures/currents.png": lambda: one_axes(lambda ax: currents().plot(ax)),
    "pictures/currents_attribution.png": lambda: one_axes(
        lambda ax: nif.plots.attribution(currents(), ax=ax)
    ),
    "pictures/currents_profile.png": lambda: one_axes(lambda ax: nif.plots.profile(currents(), ax=ax)),
    "pictures/currents_links.png": lambda: one_axes(lambda ax: nif.plots.links(currents(), ax=ax)),
    "pictures/sankey.png": sankey,
    "pictures/known_and_used.png": known_and_used,
    "pictures/watch.png": watched,
    "pictures/resolution.png": resolution,
    "pictures/samples.png": samples,
    "reports/iris.html": lambda: report_of(iris()),
    "reports/currents.html": lambda: report_of(currents()),
    "reports/digits.html": lambda: report_of(*digits()),
}
