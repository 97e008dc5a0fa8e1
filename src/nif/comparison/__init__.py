"""Attributions of several methods for one network: their agreement and their faithfulness."""

from nif.comparison.across import across as across
from nif.comparison.compare import Comparison as Comparison
from nif.comparison.compare import compare as compare
from nif.comparison.link_comparison import LinkComparison as LinkComparison
from nif.comparison.link_comparison import compare_links as compare_links
from nif.comparison.link_rankings import LINK_RANKINGS as LINK_RANKINGS
from nif.comparison.methods import ATTRIBUTIONS as ATTRIBUTIONS
from nif.comparison.problem import ComparisonProblem as ComparisonProblem
