"""Rules that say how much each hidden unit is worth keeping; each is one file and one entry here."""

from __future__ import annotations

from nif.pruning.rules.baselines import magnitude, random, taylor
from nif.pruning.rules.contribution import contribution
from nif.pruning.rules.information import silent, throughput
from nif.pruning.rules.redundancy import redundancy
from nif.pruning.rules.rule import Rule as Rule

RULES: dict[str, Rule] = {
    "silent": silent,
    "throughput": throughput,
    "redundancy": redundancy,
    "contribution": contribution,
    "magnitude": magnitude,
    "taylor": taylor,
    "random": random,
}
"""How units are ranked for removal, by name: the lowest scores go first."""
