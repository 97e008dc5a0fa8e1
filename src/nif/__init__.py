"""NIF, Neural Information Flow: how much information flows between the neurons of a trained network."""

from nif import datasets as datasets
from nif import plots as plots
from nif.comparison import compare as compare
from nif.core import __version__ as __version__
from nif.core.errors import InputError as InputError
from nif.estimators import Binned as Binned
from nif.estimators import GaussianCopula as GaussianCopula
from nif.estimators import InfoNce as InfoNce
from nif.estimators import Ksg as Ksg
from nif.estimators import Mine as Mine
from nif.estimators import Nwj as Nwj
from nif.estimators import Smile as Smile
from nif.estimators.arrays import estimate as estimate
from nif.estimators.arrays import pairwise as pairwise
from nif.estimators.estimate import Estimate as Estimate
from nif.flow import Flow as Flow
from nif.flow.file import load as load
from nif.measures.association.association import DAVIS2019 as DAVIS2019
from nif.measures.association.association import Association as Association
from nif.measures.association.shared_critic import SharedMine as SharedMine
from nif.network import layers as layers
from nif.pipeline import measure as measure
from nif.pruning import Pruned as Pruned
from nif.pruning import prune as prune
from nif.pruning import shrink as shrink
from nif.watch import Watch as Watch
