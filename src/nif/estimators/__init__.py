"""One file for each way to estimate mutual information."""

from nif.contracts import Estimator
from nif.estimators.binned import Binned
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.info_nce import InfoNce
from nif.estimators.ksg import Ksg
from nif.estimators.mine import Mine
from nif.estimators.nwj import Nwj
from nif.estimators.smile import Smile

ESTIMATORS: dict[str, type[Estimator]] = {
    "mine": Mine,
    "binned": Binned,
    "gaussian_copula": GaussianCopula,
    "ksg": Ksg,
    "info_nce": InfoNce,
    "smile": Smile,
    "nwj": Nwj,
}
"""Every estimator by the name it has on the command line."""
