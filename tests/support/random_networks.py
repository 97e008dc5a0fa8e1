"""Random small networks: blocks of every kind of operator, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from support.current_architectures import Run

TOKENS, WIDTH, CLASSES = 4, 6, 3

Block = Callable[[], nn.Module]


def _plain(run: Callable[[Tensor], Tensor]) -> Block:
    return lambda: Run(lambda self, x: run(x))


def _mixed(run: Callable[[Tensor, Tensor], Tensor]) -> Block:
    """A function of the tokens and of a linear map of them."""
    return lambda: Run(lambda self, x: run(x, self.map(x)), map=nn.Linear(WIDTH, WIDTH))


def _channels_first(block: Block) -> Block:
    return lambda: Run(lambda self, x: self.inner(x.transpose(1, 2)).transpose(1, 2), inner=block())


def _around(block: Block) -> Block:
    """Beside a residual stream, behind a norm."""
    return lambda: Run(lambda self, x: x + self.inner(self.norm(x)), inner=block(), norm=nn.LayerNorm(WIDTH))


def _rolled(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 1:] += x[:, :-1].tanh()
    y[:, 0].mul_(0.5)
    return y


def _masked(x: Tensor, y: Tensor) -> Tensor:
    later = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    scores = x @ y.transpose(1, 2) / WIDTH**0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ x


def _best(x: Tensor, y: Tensor) -> Tensor:
    return x + y.topk(2, -1).values.sum(-1, keepdim=True)


ACTIVATIONS = (
    nn.ReLU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Tanh, nn.ELU, nn.Hardswish, nn.LeakyReLU, nn.Softsign,
)  # fmt: skip

BLOCKS: dict[str, Block] = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "conv": _channels_first(lambda: nn.Conv1d(WIDTH, WIDTH, 3, padding=1)),
    "grouped conv": _channels_first(lambda: nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=2)),
    "tokens": _channels_first(lambda: nn.Linear(TOKENS, TOKENS)),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "rms norm": lambda: nn.RMSNorm(WIDTH),
    "group norm": _channels_first(lambda: nn.GroupNorm(2, WIDTH)),
    "attention": lambda: Run(
        lambda self, x: self.attend(x, x, x, need_weights=False)[0],
        attend=nn.MultiheadAttention(WIDTH, 2, batch_first=True),
    ),
    "masked attention": _mixed(_masked),
    "gate": _mixed(lambda x, y: x * y.sigmoid()),
    "glu": lambda: Run(lambda self, x: F.glu(self.map(x)), map=nn.Linear(WIDTH, 2 * WIDTH)),
    "swish gate": _mixed(lambda x, y: F.silu(x) * y),
    "quotient": _mixed(lambda x, y: x / (1 + y.square())),
    "maximum": _mixed(torch.maximum),
    "where": _mixed(lambda x, y: torch.where(y > x, y, x)),
    "softmax": _plain(lambda x: x.softmax(-1) * WIDTH),
    "logsumexp": _mixed(torch.logaddexp),
    "log scan": _plain(lambda x: x.logcumsumexp(1)),
    "product scan": _plain(lambda x: (1 + x / 4).cumprod(1)),
    "product": _mixed(lambda x, y: x * (1 + y / 4).prod(1, keepdim=True)),
    "sorted": _plain(lambda x: x.sort(1).values),
    "running maximum": _plain(lambda x: x.cummax(1).values),
    "median": _mixed(lambda x, y: x - y.median(1, keepdim=True).values),
    "unit length": _mixed(lambda x, y: x + F.normalize(y, dim=-1)),
    "deviation": _mixed(lambda x, y: x * y.std(-1, keepdim=True)),
    "norm": _mixed(lambda x, y: x + y.norm(3, -1, keepdim=True)),
    "best": _mixed(_best),
    "max pool": _plain(lambda x: F.max_pool1d(x, 3, 1, 1)),
    "mean pool": _plain(lambda x: F.avg_pool1d(x, 3, 1, 1)),
    "interpolated": _plain(lambda x: F.interpolate(x[..., ::2], size=WIDTH, mode="linear")),
    "in place": _plain(_rolled),
    "joined": lambda: Run(
        lambda self, x: self.map(torch.cat([x, x.flip(1)], -1)), map=nn.Linear(2 * WIDTH, WIDTH)
    ),
    "einsum": lambda: Run(
        lambda self, x: torch.einsum("btd,de->bte", x, self.weight),
        weight=nn.Parameter(torch.randn(WIDTH, WIDTH) / 2),
    ),
    "lstm": lambda: Run(lambda self, x: self.layer(x)[0], layer=nn.LSTM(WIDTH, WIDTH, batch_first=True)),
    "gru": lambda: Run(lambda self, x: self.layer(x)[0], layer=nn.GRU(WIDTH, WIDTH, batch_first=True)),
    "distances": _mixed(lambda x, y: torch.cdist(x, y) @ y / TOKENS),
    "maxout": lambda: Run(
        lambda self, x: self.map(x).unflatten(-1, (WIDTH, 2)).amax(-1), map=nn.Linear(WIDTH, 2 * WIDTH)
    ),
    **{f"activation {kind.__name__}": kind for kind in ACTIVATIONS},
}  # fmt: skip


def random_network(seed: int) -> tuple[nn.Sequential, tuple[str, ...]]:
    """Three to six blocks, some beside a residual stream, and a linear head; with the names of the blocks."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    names = tuple(generator.choice(list(BLOCKS), size=generator.integers(3, 7)))
    parts = [(_around(BLOCKS[name]) if generator.random() < 0.4 else BLOCKS[name])() for name in names]
    head = Run(lambda self, x: self.map(x.flatten(1)), map=nn.Linear(TOKENS * WIDTH, CLASSES))
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), *parts, head).eval()
    with torch.no_grad():
        for values in net.parameters():
            values.mul_(1.5)
    return net, names
