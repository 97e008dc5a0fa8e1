"""Make a trained network smaller without training it again.

`prune` is the verb and `Pruned` what it returns; `shrink` loads one that was saved, `read_told` its record
without the network; `RULES` holds the ways to choose units.
"""

from nif.pruning.file import shrink as shrink
from nif.pruning.prune import prune as prune
from nif.pruning.result import Pruned as Pruned
from nif.pruning.result import read_told as read_told
from nif.pruning.rules import RULES as RULES
