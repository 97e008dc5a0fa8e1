"""Estimators from variational bounds: MINE, NWJ, InfoNCE and SMILE."""

from __future__ import annotations

from dataclasses import dataclass

from nif.core.arguments import checked_options
from nif.estimators.neural import bounds
from nif.estimators.neural.variational import Variational


@checked_options
@dataclass(frozen=True, repr=False)
class Mine(Variational):
    r"""Mutual information neural estimation, cross-fitted.

    .. math:: I(X; Y) \ge \sup_\theta E_{p(x, y)}[T_\theta] - \log E_{p(x) p(y)}[e^{T_\theta}]

    The mini-batch gradient of the log term is corrected by a moving average. Each value is computed on
    held-out samples, plus half of the critic's advantage on its training samples, which corrects the loss
    from learning from few (`nif.estimators.neural.cross_fitting`). Independent data give 0 on average.

    The value is a lower bound that is tight at the best critic. Above about ln(samples) nats no estimator of
    this kind can be accurate (McAllester & Stratos, 2020). The options are those of `Variational`.

    On the CPU, with one number on each side and `hidden` a multiple of 32, critics are trained by compiled
    code (`nif.estimators.neural.compiled`), and the product distribution is summed over a grid instead of
    sampled: `shifts` and `eval_shifts` then have no effect. Where `Binned` finds more than these smooth
    critics, as at edges of the density, the difference is in the standard error. Everything else runs in
    PyTorch. Critics of vectors start at a Gaussian or a Student copula, and can turn either side by an angle
    that depends on where it is (`nif.estimators.neural.vectors`).

    References:
        Belghazi et al. (2018), MINE, https://arxiv.org/abs/1801.04062

    Example:
        >>> import numpy as np
        >>> x, noise = np.random.default_rng(0).standard_normal((2, 1, 500, 1))
        >>> information = Mine().estimate(x, 0.9 * x + 0.4 * noise)  # the truth is 0.90
        >>> bool(abs(information.nats[0] - 0.9) < 0.1)
        True
    """

    hidden: int = 32
    steps: int = 600
    learning_rate: float = 3e-2
    bound = bounds.MINE


@checked_options
@dataclass(frozen=True, repr=False)
class Nwj(Variational):
    r"""The NWJ bound, cross-fitted; the options are those of `Variational`.

    .. math:: I(X; Y) \ge E_{p(x, y)}[T] - e^{-1} E_{p(x) p(y)}[e^T]

    Looser than `Mine` for the same critic; its gradient needs no moving average.

    References:
        Nguyen, Wainwright & Jordan (2010), https://arxiv.org/abs/0809.0853
    """

    bound = bounds.NWJ


@checked_options
@dataclass(frozen=True, repr=False)
class InfoNce(Variational):
    r"""The contrastive bound, cross-fitted; the options are those of `Variational`.

    .. math:: I(X; Y) \ge E\left[\log \frac{e^{T(x, y)}}{\frac{1}{K} \sum_{k=1}^{K} e^{T(x, y_k)}}\right]

    Low variance, and never more than ln(eval_shifts + 1) nats: raise `eval_shifts` for strong dependence.

    References:
        van den Oord et al. (2018), https://arxiv.org/abs/1807.03748
    """

    shifts: int = 8
    eval_shifts: int = 100
    bound = bounds.INFO_NCE


@checked_options
@dataclass(frozen=True, repr=False)
class Smile(Variational):
    r"""SMILE, cross-fitted: the clipped Donsker–Varadhan value of a critic trained as a classifier.

    .. math:: E_{p(x, y)}[T] - \log E_{p(x) p(y)}[e^{\operatorname{clip}(T, -\tau, \tau)}]

    Args:
        clip: The :math:`\tau` of the paper: smaller means less variance and more bias. The other options are
            those of `Variational`.

    References:
        Song & Ermon (2020), https://arxiv.org/abs/1910.06222
    """

    clip: float = 5.0

    @property
    def bound(self) -> bounds.Bound:
        return bounds.smile_bound(self.clip)
