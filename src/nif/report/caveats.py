"""What a reader must keep in mind about a flow that was measured in this way."""

from __future__ import annotations

from nif.flow.measurement import Measurement

FEW_SAMPLES = 500

ALWAYS = (
    "A link is the information of one unit about another. What two units tell only together (synergy, as in "
    "an exclusive or) shows in no pair, and so in no link.",
    "An attribution multiplies the nats along a path, so its size depends on the depth of the network. "
    "Compare features and classes within this network.",
    "Silent means that these data do not show information through a neuron, not that there is none. Removing "
    "silent neurons is safe only when its cost is checked.",
    "Standard errors of attributions leave out terms of second order: they are good where the errors of "
    "links are small beside the links.",
)


def caveats(measurement: Measurement) -> list[str]:
    """Sentences that hold for these very options, the most particular first.

    Example:
        >>> plain = Measurement("Association()", {"relevance": "unit", "noise": 0.1}, 2000, 0, 0, "0.1")
        >>> caveats(plain)[0]
        'Information is measured at a resolution: every unit is seen through Gaussian noise of 0.1 of its ...'
    """
    options = measurement.options
    found = [sentence for holds, sentence in _particular(measurement) if holds]
    if options.get("beta") not in (None, 0, 0.0):
        found.append(
            f"Redundancy counts with a fixed beta of {options['beta']}: the wider a layer, the more is "
            "subtracted, so layers of different width do not compare."
        )
    return [*found, *ALWAYS]


def _particular(measurement: Measurement) -> list[tuple[bool, str]]:
    options, noise = measurement.options, measurement.options.get("noise")
    return [
        (
            measurement.not_converged > 0,
            f"{measurement.not_converged} of {options.get('terms')} terms were still rising when their "
            "budget ran out; the links that rest on them are likely too low.",
        ),
        (
            measurement.samples < FEW_SAMPLES,
            f"{measurement.samples} rows of data are few: weak links can not be told from none, and neurons "
            "may be called silent for want of data.",
        ),
        (
            options.get("relevance") == "layer",
            "Relevance is that of a whole layer, the same for all its units: features differ by redundancy "
            "alone. The errors of links are taken as independent, so those of attributions are likely too "
            "small.",
        ),
        (
            options.get("order") == "index",
            "Redundancy is counted in the order of the units: renumbering the features would change the "
            "result.",
        ),
        (
            options.get("critic") == "joint",
            "One critic was trained for relevance less redundancy, as printed in the paper. That objective "
            "has no maximum without a bound on the critic, so values say how far it could be pushed.",
        ),
        (
            noise == 0,
            "No noise channel: a trained network is deterministic, so the information of continuous units is "
            "limited only by the samples and the estimator. Compare links with one another rather than read "
            "them as absolute.",
        ),
        (
            bool(noise),
            f"Information is measured at a resolution: every unit is seen through Gaussian noise of {noise} "
            "of its standard deviation. More noise gives less information.",
        ),
    ]
