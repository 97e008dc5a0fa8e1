"""Convolutions with many features, of which channels are compared instead of every tap of every channel."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.network.weights import Weighted, channel_rows, features, padded, taps

MOST_FEATURES = 600
"""Taps times channels up to which the covariance of all features is used."""

PATCHES = 500
"""Patches of each batch from which the correlation of taps is taken."""


def by_channel(module: Weighted, channels: int) -> bool:
    r"""Whether channels of a layer are compared as they are, whatever tap reads them.

    The covariance of the features is then taken as that of channels times that of taps,
    :math:`\Sigma_C \otimes T`, and a removed channel is predicted from the others at the same place. A kernel
    of 64 taps on 128 channels has 8,192 features: a covariance that few data determine, and an hour of work.

    Example:
        >>> by_channel(nn.Conv1d(128, 16, 64), 128), by_channel(nn.Conv2d(64, 8, 3), 64)
        (True, False)
    """
    return taps(module) > 1 and channels * taps(module) > MOST_FEATURES


def padded_channels(module: Weighted, given: Tensor) -> Float[Tensor, "row channel"]:
    """Channels as a convolution reads them, one row for each position, those of its padding included."""
    assert not isinstance(module, nn.Linear)
    return channel_rows(module, padded(module, given))


def tap_products(module: Weighted, given: Tensor) -> Float[Tensor, "tap tap"]:
    """Sums of products of two taps, over some patches of a batch and channels, each about its mean."""
    images = max(1, min(len(given), PATCHES * module.weight.shape[-1] // given[0, 0].numel()))
    x = features(module, given[:images], torch.arange(given.shape[1]))
    x = x.unflatten(1, (given.shape[1], -1)).double()
    x = (x - x.mean((0, 2), keepdim=True)).transpose(0, 1).flatten(0, 1)
    return (x.T @ x).cpu()


def with_taps(
    weight: Float[Tensor, "output channel tap"], products: Float[Tensor, "tap tap"]
) -> Float[Tensor, "row channel"]:
    r"""Weights as those of channels alone, so that a channel of variance 1 costs what its taps do.

    .. math:: \tilde W = W \, (T / \overline{T_{ss}})^{1/2}
    """
    values, vectors = torch.linalg.eigh(products / products.diagonal().mean())
    root = vectors * values.clamp_min(0).sqrt()
    return (weight @ root).transpose(1, 2).flatten(0, 1)


def mixed(
    module: Any, weight: Tensor, slope: Float[Tensor, "kept channel"], shift: Float[Tensor, " channel"]
) -> tuple[Tensor, Tensor]:
    """What the kept channels add to a weight in place of all channels that they predict, and to its bias."""
    flat = weight.double().flatten(2)
    added = torch.einsum("oct,kc->okt", flat, slope.to(flat))
    return added.reshape(*added.shape[:2], *module.kernel_size), flat.sum(2) @ shift.to(flat)
