"""Caveats: the limits of a flow, given the options of its measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nif.flow.measurement import Measurement

FEW_SAMPLES = 500

LARGE_ERROR = 0.01
"""Of the current of a unit, as a part of the total."""

ALWAYS = (
    "A link is the information of one unit about another. Information that only a combination of units "
    "carries (synergy, as in an exclusive or) is in no pair, so no link shows it.",
    "An attribution multiplies the links along a path, so its size depends on the depth of the network: it "
    "is shown as a share. Compare features and classes within this network.",
    "Silent means that no information was detected, not that there is none. Measure the cost of removing "
    "silent neurons.",
    "Standard errors of attributions leave out terms of second order: they are accurate if the errors of "
    "links are small compared with the links.",
)


def caveats(measurement: Measurement) -> list[str]:
    """Sentences that hold for these options, the most specific first.

    Example:
        >>> plain = Measurement("Association()", {"relevance": "unit", "noise": 0.1}, 2000, 0, 0, "0.1")
        >>> caveats(plain)[0]
        'Information is measured at a resolution: Gaussian noise of 0.1 of its standard deviation is ...'
    """
    options = measurement.options
    noise, beta = options.get("noise"), options.get("beta")
    particular = [
        (
            measurement.not_converged > 0,
            f"{measurement.not_converged} of {options.get('terms')} terms were still rising after their last "
            "step; the links that depend on them are likely too low.",
        ),
        (
            measurement.samples < FEW_SAMPLES,
            f"Only {measurement.samples} rows: weak links cannot be distinguished from none, and neurons may "
            "be called silent because data are few.",
        ),
        (
            options.get("relevance") == "layer",
            "Relevance is that of a whole layer, the same for all its units: features differ by redundancy "
            "only. The errors of links are taken as independent, so those of attributions are likely too "
            "small.",
        ),
        (
            options.get("order") == "index",
            "Redundancy is summed in the order of the units: renumbering the features would change the "
            "result.",
        ),
        (
            options.get("critic") == "joint",
            "One critic was trained for relevance minus redundancy, as in the paper. That objective has no "
            "maximum unless the critic is bounded, so values depend on the training.",
        ),
        (
            noise == 0,
            "No noise channel: a trained network is deterministic, so the information of continuous units is "
            "limited only by the samples and the estimator. Compare links with one another rather "
            "than reading absolute values.",
        ),
        (
            bool(noise),
            f"Information is measured at a resolution: Gaussian noise of {noise} of its standard deviation "
            "is added to every unit. More noise gives less information.",
        ),
        (
            bool(beta),
            f"Redundancy is weighted by a fixed beta of {beta}: more is subtracted in wider layers, so "
            "layers of different width are not comparable.",
        ),
    ]
    return [*(sentence for holds, sentence in particular if holds), *ALWAYS]


ALWAYS_OF_CURRENTS = (
    "Other background rows ask another question.",
    "Features that matter only together share their information.",
    "Two features whose effects cancel each carry little, although each is used: compare the absolute "
    "currents.",
    "Silent means that the mean absolute current of a unit is shown to be below 0.1 % of the total.",
    "Paths from the mean graph are those of mean currents: what one carries for the decision on some rows "
    "and against it on others shows in its mean only. Measured paths add up currents within rows.",
)


def caveats_of_currents(measurement: Measurement) -> list[str]:
    """Sentences that hold for these options of currents, the most specific first.

    Example:
        >>> options = {"decision": "the label, one of 2", "steps": 8, "explained": 2000}
        >>> caveats_of_currents(Measurement("Currents()", options, 2000, 0, 0, "0.1"))[0]
        'The total is about the labels that came with the data; where the network is wrong, currents ...'
    """
    found = [*_of_the_question(measurement.options), *_of_the_measurement(measurement)]
    return [*(sentence for holds, sentence in found if holds), *ALWAYS_OF_CURRENTS]


def _of_the_question(options: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """What the currents are about."""
    decision, total_is = str(options.get("decision", "")), str(options.get("total_is", ""))
    of_labels = decision.startswith("the label")
    return [
        (
            of_labels,
            "The total is about the labels that came with the data; where the network is wrong, currents "
            "speak against the label, and the total may be negative.",
        ),
        (not of_labels, "Currents are about the decision of the network, not about the truth."),
        ("divergence" in total_is, f"The total is no mutual information but a {total_is}."),
        (
            decision.startswith("a value") or " values" in decision,
            "A value is seen through noise. The less there is, the further the straight way is from an "
            "average over all orders of the features (Shapley values).",
        ),
        (
            str(options.get("path", "straight")) == "straight",
            "The straight way from a background row to a row leads through inputs that do not exist, above "
            "all for binary and one-hot features.",
        ),
    ]


def _of_the_measurement(measurement: Measurement) -> list[tuple[bool, str]]:
    """How well they are known."""
    options = measurement.options
    mixed, left_out = (list(options.get(name) or ()) for name in ("in_proportion", "not_measured"))
    error = options.get("step_error") or 0.0
    return [
        (
            bool(mixed),
            f"Several weights lie between some layers ({', '.join(mixed)}): there the current of a unit is "
            "divided over the units of the next layer as that layer's total is. Currents of units are exact.",
        ),
        (bool(left_out), f"Some of what ran is not measured: {', '.join(left_out)}."),
        (
            error > LARGE_ERROR,
            f"The current of a unit may be off by {error:.1%} of the total; measure with more steps for a "
            "closer integral.",
        ),
        (
            measurement.samples < FEW_SAMPLES,
            f"Only {measurement.samples} rows were explained: intervals are wide, and weak currents cannot "
            "be distinguished from none.",
        ),
    ]
