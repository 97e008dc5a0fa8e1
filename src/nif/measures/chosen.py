"""The measure that the argument `method` of `nif.measure` stands for."""

from __future__ import annotations

from typing import Any

from nif.core.arguments import known_name, shown
from nif.core.errors import InputError
from nif.measures.currents.currents import Currents
from nif.measures.measure import Measure

OPTIONS_OF_ASSOCIATION = {
    "estimator": "pass nif.Association(estimator=nif.Binned()) as method.",
    "decomposition": "pass nif.Association(order='index') or nif.DAVIS2019 as method.",
    "noise": "pass nif.Association(noise=0.1) as method.",
}
"""Arguments of nif 0.1 that are options of the method now, and how to pass them."""

OPTIONS_OF_CURRENTS = {
    name: f"it is an option of the method: pass nif.Currents({name}={example}) as method."
    for name, example in {
        "decision": "'softmax'",
        "backgrounds": "32",
        "rows": "512",
        "steps": "'auto'",
        "by_class": "True",
        "target": "('relu2', 5)",
        "paths": "40",
        "blocks": "50",
    }.items()
}

LABELS = dict.fromkeys(
    ("labels", "y", "targets"),
    "labels come with the data: pass (x, y) as data, and for information about them "
    "nif.Currents(decision='labels') as method.",
)

ANSWERS = {
    **OPTIONS_OF_ASSOCIATION,
    **OPTIONS_OF_CURRENTS,
    **LABELS,
    "max_samples": "pass nif.Association(rows=100_000) as method.",
    "stream": "nif.Association(rows=100_000) draws rows at random from larger data.",
    **dict.fromkeys(("n_samples", "num_samples", "samples"), "pass nif.Currents(rows=512) as method."),
    **dict.fromkeys(
        ("x", "X", "inputs", "dataset", "loader"),
        "rows are the second argument: nif.measure(model, x), or (x, y) with labels.",
    ),
    **dict.fromkeys(("names", "features", "columns"), "pass feature_names=, one for each input."),
    **dict.fromkeys(("classes", "label_names"), "pass class_names=, one for each output."),
    **dict.fromkeys(("random_state", "rng"), "pass seed=0."),
    **dict.fromkeys(("verbose", "quiet", "silent"), "pass progress=False for no line of progress."),
    "batch_size": "the number of rows in a block is fixed; memory= limits blocks of pairs.",
}
"""What to write in place of arguments that `nif.measure` does not have."""


def chosen_measure(method: Any) -> Measure:
    """The measure that a method stands for.

    Raises:
        InputError: It is neither a measure nor an estimator.

    Example:
        >>> from nif import Association, Binned
        >>> chosen_measure(Binned()) == Association(estimator=Binned()) == chosen_measure("binned")
        True
    """
    if method is None:
        return Currents()
    if isinstance(method, Measure) and not isinstance(method, type):
        return method
    return _by_estimators(method)


def _by_estimators(method: Any) -> Measure:
    """Of a name, a class or an estimator; what currents do without is imported here, as it takes a second."""
    from nif.estimators.estimate import Estimator
    from nif.estimators.named import ESTIMATORS
    from nif.measures.association.association import DAVIS2019, Association
    from nif.measures.association.shared_critic import SharedMine
    from nif.measures.association.with_decision import DecisionInformation

    if isinstance(method, str):
        measures: dict[str, Measure] = {
            "currents": Currents(),
            "association": Association(),
            "DAVIS2019": DAVIS2019,
            "decision_information": DecisionInformation(),
        }
        name = known_name("method", method, [*measures, *ESTIMATORS])
        method = measures[name] if name in measures else ESTIMATORS[name]()
    classes = Currents, Association, DecisionInformation, SharedMine, *ESTIMATORS.values()
    if isinstance(method, type) and issubclass(method, classes):  # without parentheses
        method = method()
    if isinstance(method, SharedMine):
        return Association(method, critic="shared")
    if isinstance(method, Measure) and not isinstance(method, type):
        return method
    if isinstance(method, Estimator) and not isinstance(method, type):
        return Association(method)
    labels = " Labels come with the data, as (x, y)." if hasattr(method, "__len__") else ""
    if isinstance(method, int) and not isinstance(method, bool):
        labels = " Options have names, such as seed= and every=."
    raise InputError(
        f"method is {shown(method)}; expected nif.Currents(), nif.Association(), an estimator such as "
        f"nif.Binned(), or None.{labels}"
    )
