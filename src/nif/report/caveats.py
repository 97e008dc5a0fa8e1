"""Caveats: the limits of a flow, given the options of its measurement."""

from __future__ import annotations

from nif.flow.measurement import Measurement

FEW_SAMPLES = 500

ALWAYS = (
    "A link is the information of one unit about another. Information that only a combination of units "
    "carries (synergy, as in an exclusive or) is in no pair, so no link shows it.",
    "An attribution multiplies the nats along a path, so its size depends on the depth of the network. "
    "Compare features and classes within this network.",
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
