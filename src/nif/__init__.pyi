"""Public names; `nif/__init__.py` imports each when it is first used."""

from . import datasets as datasets
from . import plots as plots
from .comparison import compare as compare
from .core import __version__ as __version__
from .core.errors import InputError as InputError
from .estimators import Binned as Binned
from .estimators import GaussianCopula as GaussianCopula
from .estimators import InfoNce as InfoNce
from .estimators import Ksg as Ksg
from .estimators import Mine as Mine
from .estimators import Nwj as Nwj
from .estimators import Smile as Smile
from .estimators.arrays import estimate as estimate
from .estimators.arrays import pairwise as pairwise
from .estimators.estimate import Estimate as Estimate
from .flow import Flow as Flow
from .flow.file import load as load
from .measures.association.association import DAVIS2019 as DAVIS2019
from .measures.association.association import Association as Association
from .measures.association.shared_critic import SharedMine as SharedMine
from .network import layers as layers
from .pipeline import measure as measure
from .pruning import Pruned as Pruned
from .pruning import prune as prune
from .pruning import shrink as shrink
from .watch import Watch as Watch
