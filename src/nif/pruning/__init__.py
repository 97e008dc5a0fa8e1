"""Make a trained network smaller without retraining.

`prune` returns a `Pruned`; `shrink` loads a saved one, `read_record` its record without the network; `RULES`
are the importances by which units are selected.
"""

from nif.pruning.file import shrink as shrink
from nif.pruning.prune import prune as prune
from nif.pruning.result import Pruned as Pruned
from nif.pruning.result import read_record as read_record
from nif.pruning.rules import RULES as RULES
