"""Rules that return the importance of each hidden unit, by their names."""

from __future__ import annotations

from nif.core.errors import InputError
from nif.pruning.rules.baselines import magnitude
from nif.pruning.rules.contribution import contribution
from nif.pruning.rules.information import current, silent, throughput
from nif.pruning.rules.redundancy import redundancy
from nif.pruning.rules.rule import Rule as Rule

RULES: dict[str, Rule] = {
    "silent": silent,
    "throughput": throughput,
    "current": current,
    "redundancy": redundancy,
    "contribution": contribution,
    "magnitude": magnitude,
}
"""Rules by name: the units of lowest importance are removed first."""


def chosen_rule(rule: str | Rule) -> Rule:
    """The rule of a name; a function is returned as it is.

    Raises:
        InputError: There is no rule of that name.
    """
    if callable(rule):
        return rule
    if not isinstance(rule, str) or rule not in RULES:
        raise InputError(f"Unknown rule {rule!r}; expected one of {', '.join(RULES)}, or a function.")
    return RULES[rule]


OF_WEIGHTS = frozenset({"redundancy", "contribution", "magnitude"})
"""Rules that need no flow, and order heads of attention as they do units."""


def head_rule(rule: str | Rule) -> Rule:
    """The rule for heads: redundancy in place of those that look units up in the flow."""
    return chosen_rule(rule if callable(rule) or rule in OF_WEIGHTS else "redundancy")
