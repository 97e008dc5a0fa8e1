"""Lower bounds on mutual information from the scores of a critic.

A critic T scores `joint` samples, drawn together, and `product` samples, whose y is from another row.
Product scores come in `shift` rows: row r pairs x of sample i with y of sample i + r (cyclically), so that
every row is one permutation of the data. All functions are pure and work on a whole bank of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.special import ndtr
from torch import Tensor
from torch.nn.functional import softplus

Joint = Float[Tensor, "pair sample"]
PerSample = Float[Tensor, "pair sample"]
Product = Float[Tensor, "pair shift sample"]
PerPair = Float[Tensor, " pair"]


def log_mean_exp(product: Product) -> PerPair:
    """Logarithm of the mean of exp T over all product samples of each pair, without overflow."""
    return product.flatten(1).logsumexp(dim=-1) - math.log(product[0].numel())


def donsker_varadhan(joint: Joint, product: Product) -> PerPair:
    r"""The bound of MINE.

    .. math:: I(X; Y) \ge E_{p(x, y)}[T] - \log E_{p(x) p(y)}[e^T]

    Tight at ``T = log p(x,y)/p(x)p(y) + constant``. Its variance grows like exp(I): above about ln(samples)
    nats no estimate from samples is reliable.

    Args:
        joint: Critic scores T on samples drawn together.
        product: Critic scores on shifted samples.

    Returns:
        One bound per pair, in nats; may be negative.

    References:
        MINE (Belghazi et al., 2018), eq. 5, https://arxiv.org/abs/1801.04062

    Example:
        >>> donsker_varadhan(torch.ones(2, 8), torch.zeros(2, 3, 8))
        tensor([1., 1.])
    """
    return joint.mean(dim=-1) - log_mean_exp(product)


def nguyen_wainwright_jordan(joint: Joint, product: Product) -> PerPair:
    r"""The f-divergence bound, also called MINE-f or TUBA with a constant baseline.

    .. math:: I(X; Y) \ge E_{p(x, y)}[T] - e^{-1} E_{p(x) p(y)}[e^T]

    Unbiased on a mini-batch, looser than Donsker–Varadhan for the same critic. Tight at
    ``T = 1 + log p(x,y)/p(x)p(y)``.

    References:
        Nguyen, Wainwright & Jordan (2010), https://arxiv.org/abs/0809.0853

    Example:
        >>> nguyen_wainwright_jordan(torch.ones(1, 8), torch.ones(1, 3, 8))
        tensor([0.])
    """
    return joint.mean(dim=-1) - (log_mean_exp(product) - 1).exp()


def info_nce(joint: Joint, product: Product) -> PerPair:
    r"""The contrastive bound: how well the critic identifies the true y among `shift` others.

    .. math:: I(X; Y) \ge E\left[\log \frac{e^{T(x, y)}}{\frac{1}{K} \sum_{k=1}^{K} e^{T(x, y_k)}}\right]

    Low variance; at most ``log K`` with K = shifts + 1 candidates, the true one included.

    References:
        van den Oord et al. (2018), https://arxiv.org/abs/1807.03748

    Example:
        >>> info_nce(torch.full((1, 8), 50.0), torch.zeros(1, 3, 8))  # the ceiling, log 4
        tensor([1.3863])
    """
    return _info_nce_terms(joint, product).mean(dim=-1)


def smile(joint: Joint, product: Product, clip: float = 5.0) -> PerPair:
    r"""Donsker–Varadhan with the scores of product samples clipped to ``[-clip, clip]``.

    .. math:: E_{p(x, y)}[T] - \log E_{p(x) p(y)}[e^{\operatorname{clip}(T, -\tau, \tau)}]

    Less variance for large information, but biased: no longer a strict lower bound. Its critic
    is trained by `jensen_shannon`.

    References:
        Song & Ermon (2020), https://arxiv.org/abs/1910.06222

    Example:
        >>> smile(torch.ones(1, 8), torch.full((1, 3, 8), 100.0))
        tensor([-4.])
    """
    return donsker_varadhan(joint, product.clamp(-clip, clip))


def jensen_shannon(joint: Joint, product: Product) -> PerPair:
    r"""The objective of a classifier between joint and product samples; its optimum is the log density ratio.

    .. math:: -E_{p(x, y)}[\operatorname{softplus}(-T)] - E_{p(x) p(y)}[\operatorname{softplus}(T)]

    Not in nats of mutual information: a training objective that is stable for large T.

    Example:
        >>> jensen_shannon(torch.zeros(1, 8), torch.zeros(1, 3, 8))  # -2 log 2
        tensor([-1.3863])
    """
    return -softplus(-joint).mean(dim=-1) - softplus(product).mean(dim=(-2, -1))


def mine_objective(joint: Joint, product: Product, log_average: PerPair) -> PerPair:
    r"""A surrogate whose gradient is MINE's, with the bias of the mini-batch removed.

    .. math:: E_{p(x, y)}[T] - E_{p(x) p(y)}[e^T] / \bar m

    where :math:`\bar m` is the exponential moving average of :math:`E[e^T]` over past steps, held constant.

    Args:
        joint: Critic scores on samples drawn together.
        product: Critic scores on shifted samples.
        log_average: Logarithm of the moving average.

    References:
        MINE (Belghazi et al., 2018), sec. 3.2, https://arxiv.org/abs/1801.04062

    Example:
        >>> mine_objective(torch.ones(1, 8), torch.zeros(1, 3, 8), torch.zeros(1))
        tensor([0.])
    """
    return joint.mean(dim=-1) - (log_mean_exp(product) - log_average.detach()).exp()


def _info_nce_terms(joint: Joint, product: Product) -> PerSample:
    candidates = torch.cat([joint[:, None], product], dim=1)
    return joint - candidates.logsumexp(dim=1) + math.log(candidates.shape[1])


def _partners_mean(weights: Product, shifts: Float[Tensor, " shift"] | Tensor) -> PerSample:
    """Mean weight of the product samples that contain a sample, as x and as y."""
    as_x = weights.mean(dim=1)
    as_y = torch.stack([weights[:, r].roll(int(s), dims=-1) for r, s in enumerate(shifts)]).mean(dim=0)
    return as_x + as_y


def influence_of_ratio(joint: Joint, product: Product, shifts: Tensor) -> PerSample:
    """Influence of each sample on the Donsker–Varadhan value, up to a constant."""
    weights = (product - log_mean_exp(product)[:, None, None]).exp()
    return joint - _partners_mean(weights, shifts)


@dataclass(frozen=True)
class Bound:
    """The objective of a critic, the reported bound, and the influence of each sample on it.

    Attributes:
        objective: Maximised in training; only MINE uses its third argument, the moving average.
        value: The bound in nats, computed on held-out samples.
        influence: Per sample, up to a constant; its standard deviation gives the standard error.
    """

    objective: Callable[[Joint, Product, PerPair], PerPair]
    value: Callable[[Joint, Product], PerPair]
    influence: Callable[[Joint, Product, Tensor], PerSample]


MINE = Bound(mine_objective, donsker_varadhan, influence_of_ratio)

NWJ = Bound(
    lambda joint, product, _: nguyen_wainwright_jordan(joint, product),
    nguyen_wainwright_jordan,
    lambda joint, product, shifts: joint - _partners_mean((product - 1).exp(), shifts),
)

INFO_NCE = Bound(
    lambda joint, product, _: info_nce(joint, product),
    info_nce,
    lambda joint, product, _: _info_nce_terms(joint, product),
)


def smile_bound(clip: float) -> Bound:
    """SMILE at a given clip: trained as a classifier, reported by the clipped bound."""
    return Bound(
        objective=lambda joint, product, _: jensen_shannon(joint, product),
        value=lambda joint, product: smile(joint, product, clip),
        influence=lambda joint, product, shifts: influence_of_ratio(
            joint, product.clamp(-clip, clip), shifts
        ),
    )


def independence_p_value(joint: Joint, product: Product, shifts: Int[Tensor, " shift"]) -> PerPair:
    r"""p-value of the mean joint score among all permutations of y, by Hoeffding's normal limit.

    The critic is fixed: it was trained on other rows. The mean score over a random permutation has the mean
    of the product scores and the variance :math:`\sum d_{ij}^2 / n^2 (n - 1)`, with d the scores less
    their row and column means. Both are computed from the product samples of the bound.

    References:
        Hoeffding (1951), A combinatorial central limit theorem.
    """
    count, rows = product.shape[1:]
    grand = product.mean(dim=(-2, -1))
    as_x = product.mean(dim=1)
    aligned = torch.stack([product[:, r].roll(int(s), dims=-1) for r, s in enumerate(shifts)], dim=1)
    as_y = aligned.mean(dim=1)
    partner = torch.stack([as_y.roll(-int(s), dims=-1) for s in shifts], dim=1)
    centred = product - as_x[:, None] - partner + grand[:, None, None]
    freedom = max(1, count * rows - 2 * rows + 1)
    variance = centred.square().sum(dim=(-2, -1)) / freedom / rows * (1 + 1 / count)
    z = (joint.mean(dim=-1) - grand) / variance.sqrt()
    upper_tail = torch.as_tensor(ndtr(-z.cpu().numpy()), dtype=z.dtype, device=z.device)
    return torch.where(variance > 1e-20, upper_tail, torch.ones_like(z))
