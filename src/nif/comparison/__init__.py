"""The attribution of NIF beside others: which features they name, how much they agree, which are faithful."""

from nif.comparison.registry import ATTRIBUTIONS as ATTRIBUTIONS
from nif.comparison.subject import Subject as Subject
from nif.comparison.table import Comparison as Comparison
from nif.comparison.table import compare as compare
