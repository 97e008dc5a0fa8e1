"""Every estimator by its name on the command line."""

from __future__ import annotations

from nif.estimators.binned import Binned
from nif.estimators.estimate import Estimator
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.ksg import Ksg
from nif.estimators.neural.methods import InfoNce, Mine, Nwj, Smile

ESTIMATORS: dict[str, type[Estimator]] = {
    "mine": Mine,
    "binned": Binned,
    "gaussian_copula": GaussianCopula,
    "ksg": Ksg,
    "info_nce": InfoNce,
    "smile": Smile,
    "nwj": Nwj,
}
