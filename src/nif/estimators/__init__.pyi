"""Estimators; `nif/estimators/__init__.py` imports each when it is first used."""

from .binned import Binned as Binned
from .estimate import Estimator as Estimator
from .gaussian_copula import GaussianCopula as GaussianCopula
from .ksg import Ksg as Ksg
from .named import ESTIMATORS as ESTIMATORS
from .neural.methods import InfoNce as InfoNce
from .neural.methods import Mine as Mine
from .neural.methods import Nwj as Nwj
from .neural.methods import Smile as Smile
