"""Make a trained network smaller without training it again.

`prune` is the verb and `Pruned` what it returns; `shrink` loads one that was saved,
`read_told` what it says of itself; `RULES` holds the ways
to choose units.
"""

from nif.pruning.pruned import Pruned as Pruned
from nif.pruning.rules import RULES as RULES
from nif.pruning.storage import shrink as shrink
from nif.pruning.told import read_told as read_told
from nif.pruning.verb import prune as prune
