"""Make a trained network smaller without training it again.

`prune` is the verb and `Pruned` what it returns; `shrink` loads one that was saved, `read_record` its record
without the network; `RULES` holds the ways to choose units.
"""

from nif.pruning.file import shrink as shrink
from nif.pruning.prune import prune as prune
from nif.pruning.result import Pruned as Pruned
from nif.pruning.result import read_record as read_record
from nif.pruning.rules import RULES as RULES
