"""MINE as it is usually written: one critic, one pair, a PyTorch loop; the baseline of ours."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

STEPS = 2_000
BATCH = 256
EMA = 0.99


def plain_mine(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Mutual information of x and y in nats: trained on one half of the samples, evaluated on the other."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    data = torch.tensor(np.column_stack([_standard(x), _standard(y)]), dtype=torch.float32)
    order = torch.randperm(len(data), generator=generator)
    fit, held_out = data[order[: len(data) // 2]], data[order[len(data) // 2 :]]
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    average = 1.0
    for _ in range(STEPS):
        batch = fit[torch.randint(len(fit), (BATCH,), generator=generator)]
        shuffled = torch.randint(len(fit), (BATCH,), generator=generator)
        product = critic(torch.stack([batch[:, 0], fit[shuffled, 1]], dim=1)).exp().mean()
        average = EMA * average + (1 - EMA) * float(product.detach())
        loss = product / average - critic(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _donsker_varadhan(critic, held_out, generator)


@torch.no_grad()
def _donsker_varadhan(critic: nn.Module, samples: torch.Tensor, generator: torch.Generator) -> float:
    shuffled = samples[torch.randperm(len(samples), generator=generator), 1]
    product = critic(torch.stack([samples[:, 0], shuffled], dim=1))
    log_mean = product.logsumexp(dim=0) - math.log(len(samples))
    return float(critic(samples).mean() - log_mean)


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()
