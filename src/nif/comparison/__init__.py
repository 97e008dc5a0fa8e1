"""Attributions of several methods for one network: their agreement and their faithfulness."""

from nif.comparison.compare import Comparison as Comparison
from nif.comparison.compare import compare as compare
from nif.comparison.methods import ATTRIBUTIONS as ATTRIBUTIONS
from nif.comparison.problem import ComparisonProblem as ComparisonProblem
