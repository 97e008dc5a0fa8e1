"""Attributions beside others: which features they name, how much they agree, which are faithful."""

from nif.comparison.compare import Comparison as Comparison
from nif.comparison.compare import compare as compare
from nif.comparison.methods import ATTRIBUTIONS as ATTRIBUTIONS
from nif.comparison.problem import Subject as Subject
