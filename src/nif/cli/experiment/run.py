"""Run an experiment from training to report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from nif import datasets
from nif.cli import sections
from nif.cli.experiment.classifier import accuracy, classifier, train
from nif.cli.experiment.files import write
from nif.cli.experiment.published import beside_published
from nif.cli.text import paragraph
from nif.comparison.compare import Comparison, compare
from nif.core import __version__
from nif.core.errors import InputError
from nif.core.files import refuse_unwritable
from nif.core.progress import progress as progress_bar
from nif.core.unit import shown_in
from nif.estimators.binned import Binned
from nif.estimators.estimate import Estimator
from nif.flow.flow import Flow
from nif.flow.known_and_used import known_and_used
from nif.measures.association.association import DAVIS2019, Association
from nif.measures.association.shared_critic import SharedMine
from nif.measures.association.with_decision import DecisionInformation
from nif.measures.chosen import chosen_measure
from nif.measures.currents.currents import Currents
from nif.measures.measure import Measure
from nif.network.preserve import one_thread
from nif.pipeline import measure
from nif.pruning.prune import prune
from nif.pruning.result import Pruned

ASKED_OF_ASSOCIATION = (
    "How much does a neuron tell of those of the next layer that its neighbours do not, whether the network "
    "uses it or not? The measure of the paper."
)
ASKED_OF_CURRENTS = (
    "How much of the information about the decision flows through a feature or neuron? Every layer carries "
    "the same total, and what the network does not use carries 0."
)
ASKED_OF_BOTH = "What does a unit alone tell of the decision, and how much of the decision rests on it?"
"""The question that each measure answers, above its results."""

MOST_TERMS = 1000
"""Of association, from which on a critic for each takes minutes, and bins are used."""

PUBLISHED = replace(DAVIS2019, estimator=SharedMine(steps=60), rows=400)
"""The association as published, within seconds."""


@dataclass(frozen=True)
class Experiment:
    """A data set with the network that is trained on it.

    Attributes:
        dataset: A name `nif.datasets.load` knows.
        hidden: Units of each hidden layer.
        epochs: Passes over the training rows; enough for the loss to settle, a second or less.
        has_published_table: Whether the published table, of four features, can stand beside the result.
    """

    dataset: str
    hidden: tuple[int, ...]
    epochs: int
    has_published_table: bool


EXPERIMENTS = {
    "iris": Experiment("iris", hidden=(10,), epochs=200, has_published_table=True),
    "banknote": Experiment("banknote", hidden=(10, 10), epochs=40, has_published_table=True),
    "digits": Experiment("digits", hidden=(32, 16), epochs=40, has_published_table=False),
}
"""The experiments by name; a new one is an entry here."""


@dataclass(frozen=True, eq=False)
class Run:
    """The results of an experiment.

    Attributes:
        split: The data, standardised.
        model: The trained network.
        association: What its neurons tell of each other, on the training rows.
        currents: What its decision uses, on the same rows.
        known: What each unit tells of the decision, on the same rows.
        pruned: The network without the neurons that the decision does not use.
        comparison: Both attributions and those of other methods.
        text: The printed text.
    """

    split: datasets.Split
    model: nn.Module
    association: Flow
    currents: Flow
    known: Flow
    pruned: Pruned
    comparison: Comparison
    text: str


def run(
    experiment: Experiment,
    *,
    hidden: Sequence[int] | None = None,
    seed: int = 0,
    out: Path | None = None,
    estimator: Estimator | None = None,
    tolerance: float = 0.0,
    progress: bool = True,
    echo: Callable[[str], None],
) -> Run:
    """Run an experiment of `EXPERIMENTS` and print each section of the results when it is complete.

    Args:
        experiment: The data set and its network.
        hidden: Units of each hidden layer, instead of the experiment's own.
        seed: Of the split, the network, its training and the measurement.
        out: Directory for figure, flow file, report and tables; None writes no files.
        estimator: As for `nif.measure`.
        tolerance: Largest loss of accuracy by pruning.
        progress: As for `nif.measure`.
        echo: Prints one piece of text.

    Raises:
        InputError: The data cannot be loaded, a layer has no unit, or `out` cannot be written.
    """
    layers = experiment.hidden if hidden is None else tuple(hidden)
    if min(layers, default=0) < 1:
        raise InputError(f"The hidden layers are {list(layers)}; expected one or more sizes, such as 10,10.")
    if out is not None:
        refuse_unwritable(out)
    split = datasets.split(datasets.load(experiment.dataset), seed=seed)
    steps = _Steps(split, seed, progress, echo)
    steps.show(paragraph(f"NIF {__version__}: {split.whole}", first=""))
    with one_thread():
        model = steps.trained(layers, experiment.epochs)
    association = steps.association(model, estimator)  # its critics are trained in threads of their own
    with one_thread():
        currents = steps.currents(model)
        known = steps.known(model, currents)
        pruned = steps.pruned(model, currents, tolerance)
        comparison = steps.compared(model, association, currents)
    if experiment.has_published_table:
        steps.section("The published table", beside_published(comparison))
    steps.section("In short", sections.in_short(currents, pruned))
    text = "".join(f"{part}\n" for part in steps.texts)
    done = Run(split, model, association, currents, known, pruned, comparison, text)
    if out is not None:
        what = "tables, figures and pages"
        with shown_in("nats"), progress_bar("writing", total=None, shown=progress, what=what):
            files = write(done, out)
        steps.section("Written", "\n".join(f"  {path}" for path in files))
        steps.show(f"\nOpen {out / 'currents.html'} in a browser.")
    return done


@dataclass(frozen=True, eq=False)
class _Steps:
    """The steps of a run, each of which prints its results."""

    split: datasets.Split
    seed: int
    progress: bool
    echo: Callable[[str], None]
    texts: list[str] = field(default_factory=list)

    def show(self, text: str) -> None:
        """Print a text, and keep it."""
        self.texts.append(text)
        self.echo(text)

    def section(self, title: str, text: str) -> None:
        """A heading and its text."""
        self.show(f"\n{title}\n{text}")

    def trained(self, hidden: tuple[int, ...], epochs: int) -> nn.Module:
        sizes = (len(self.split.whole.feature_names), *hidden, len(self.split.whole.class_names))
        model = classifier(sizes, seed=self.seed)
        x, y = tensors(self.split.train)
        with progress_bar("training", total=float(epochs), shown=self.progress) as advance:
            train(model, x, y, epochs=epochs, seed=self.seed, advance=advance)
        held_out = accuracy(model, *tensors(self.split.test))
        self.section(
            f"Network {'-'.join(map(str, sizes))}: ReLU, Adam, {epochs} epochs, seed {self.seed}",
            f"  accuracy {accuracy(model, x, y):.3f} on the {len(x)} rows it was trained on,\n"
            f"           {held_out:.3f} on {len(self.split.test)} rows held out",
        )
        return model

    def association(self, model: nn.Module, estimator: Estimator | None) -> Flow:
        """Measures what neurons tell of each other, as the paper does."""
        quick = Binned() if terms(model) > MOST_TERMS else None
        flow = self._measured(model, chosen_measure(estimator or Association(quick)))
        text = f"{paragraph(ASKED_OF_ASSOCIATION)}\n\n{sections.measurement(flow)}"
        self.section("Association: what neurons tell of each other", text)
        self.section("Links", sections.links(flow))
        self.section("Attribution", sections.attribution(flow))
        self.section("Neurons", sections.neurons(flow))
        self.section("Structure", f"{sections.layers(flow)}\n\n{sections.communities(flow)}")
        return flow

    def currents(self, model: nn.Module) -> Flow:
        """Measures what the decision uses."""
        flow = self._measured(model, Currents())
        text = [paragraph(ASKED_OF_CURRENTS), sections.measurement(flow), *sections.measured(flow)]
        self.section("Currents: what the decision uses", "\n\n".join(text))
        return flow

    def known(self, model: nn.Module, currents: Flow) -> Flow:
        """Measures what each unit tells of the decision, and shows it beside what is used."""
        flow = self._measured(model, DecisionInformation())
        text = f"{paragraph(ASKED_OF_BOTH)}\n\n{sections.known_and_used(known_and_used(flow, currents))}"
        self.section("Known and used", text)
        return flow

    def _measured(self, model: nn.Module, method: Measure) -> Flow:
        rows = self.split.train
        return measure(
            model,
            (rows.x, rows.y),
            method,
            feature_names=rows.feature_names,
            class_names=rows.class_names,
            seed=self.seed,
            progress=self.progress,
        )

    def pruned(self, model: nn.Module, flow: Flow, tolerance: float) -> Pruned:
        """Prunes by the training rows, so that the held-out rows can test it."""
        rows = TensorDataset(*tensors(self.split.train))
        others = TensorDataset(*tensors(self.split.test))
        pruned = prune(model, flow, rows, tolerance=tolerance, held_out=others, progress=self.progress)
        self.section("Without neurons that the decision does not use", sections.pruning(pruned))
        return pruned

    def compared(self, model: nn.Module, association: Flow, currents: Flow) -> Comparison:
        rows = self.split.train
        published = self._published(model, association)
        comparison = compare(
            model,
            association,
            rows.x,
            rows.y,
            currents=currents,
            published=published,
            seed=self.seed,
            progress=self.progress,
        )
        self.section("Attribution by method", sections.shares(comparison))
        self.section("Agreement and faithfulness", sections.agreement(comparison))
        return comparison

    def _published(self, model: nn.Module, flow: Flow) -> Flow | None:
        """The flow as published, where a critic for each of its links takes seconds and not hours.

        Its critics are trained for fewer steps, on fewer rows, than the default: it is there for comparison.
        """
        if flow.measurement.options["terms"] > MOST_TERMS:
            return None
        with warnings.catch_warnings():
            # The text below the table says the same as the warning.
            warnings.simplefilter("ignore", UserWarning)
            return measure(model, self.split.train.x, PUBLISHED, seed=self.seed, progress=self.progress)


def terms(model: nn.Module) -> int:
    """Mutual informations of an association: of the links, and of the units within each layer.

    Example:
        >>> terms(classifier((4, 10, 3), seed=0))
        121
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return sum(
        layer.in_features * layer.out_features + layer.in_features * (layer.in_features - 1) // 2
        for layer in linear
    )


def tensors(dataset: datasets.Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and classes of a data set."""
    return torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
