"""Networks of the zoo that read a table, a pair of tables, or categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from zoo_cases import CLASSES, Case, Net, numbers

TABLE = numbers(8)


def mlp(*activations: nn.Module, out: int = CLASSES) -> nn.Sequential:
    """Layers of 8 features, 10 units each."""
    parts: list[nn.Module] = []
    for number, activation in enumerate(activations):
        parts += [nn.Linear(10 if number else 8, 10), activation]
    return nn.Sequential(*parts, nn.Linear(10, out))


class Rbf(nn.Module):
    """Radial basis functions, an activation that owns parameters."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.centres, self.widths = nn.Parameter(torch.randn(units, inputs)), nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        distances: Tensor = (x[:, None] - self.centres).square().sum(-1)
        return torch.exp(-0.2 * self.widths.exp() * distances)


class Kan(nn.Module):
    """A layer of Kolmogorov-Arnold networks: on each link a function of its own, a sum of bumps."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.grid = nn.Buffer(torch.linspace(-2, 2, 5))
        self.spline = nn.Parameter(0.3 * torch.randn(inputs, 5, units))
        self.base = nn.Linear(inputs, units)

    def forward(self, x: Tensor) -> Tensor:
        bumps = torch.exp(-(x[..., None] - self.grid).square())
        return self.base(F.silu(x)) + torch.einsum("big,igo->bo", bumps, self.spline)


class Switch(nn.Module):
    """Experts of which each row takes the most probable, as in Switch transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.head = nn.Linear(8, 3), nn.Linear(6, CLASSES)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 6), nn.ReLU()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        gate, chosen = self.router(x).softmax(-1).max(-1)
        out = x.new_zeros(len(x), 6)
        for number, expert in enumerate(self.experts):
            out[chosen == number] = expert(x[chosen == number])
        return self.head(out * gate[:, None])


class TopTwo(Switch):
    """Experts of which each row takes the best two; all of them run."""

    def forward(self, x: Tensor) -> Tensor:
        best, index = self.router(x).topk(2, -1)
        weights = torch.zeros(len(x), 3).scatter(-1, index, best.softmax(-1))
        return self.head((weights[..., None] * torch.stack([expert(x) for expert in self.experts], 1)).sum(1))


class TabNet(nn.Module):
    """Two steps, each of which masks the features and adds to the decision."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.masks = nn.ModuleList(nn.Linear(5, 8) for _ in range(2))
        self.steps = nn.ModuleList(nn.Linear(8, 20) for _ in range(3))
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        decision, attended = F.glu(self.steps[0](x)).chunk(2, -1)
        prior, total = torch.ones_like(x), torch.zeros_like(decision)
        for mask, step in zip(self.masks, list(self.steps)[1:], strict=True):
            weights = (mask(attended) * prior).softmax(-1)
            prior = prior * (1.3 - weights)
            decision, attended = F.glu(step(weights * x * 4)).chunk(2, -1)
            total = total + decision.relu()
        return self.head(total)


class FeatureTokens(nn.Module):
    """A transformer over features, as FT-transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8, 8))
        self.start = nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        every = x[..., None] * self.weight + self.bias
        return self.head(self.block(torch.cat([self.start.expand(len(x), 1, 8), every], 1))[:, 0])


class Tree(nn.Module):
    """A soft oblivious tree of depth 3, as in NODE."""

    def __init__(self) -> None:
        super().__init__()
        self.choice, self.leaves = nn.Linear(8, 3), nn.Parameter(torch.randn(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        right = (3 * self.choice(x)).sigmoid()
        paths = torch.stack([right, 1 - right], -1)
        leaf = torch.einsum("bi,bj,bk->bijk", paths[:, 0], paths[:, 1], paths[:, 2]).flatten(1)
        return leaf @ self.leaves


class Factorization(nn.Module):
    """A factorization machine with a deep part (DeepFM)."""

    def __init__(self) -> None:
        super().__init__()
        self.factors, self.linear = nn.Parameter(0.5 * torch.randn(8, 4)), nn.Linear(8, CLASSES)
        self.deep = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, CLASSES))
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        pairs = 0.5 * ((x @ self.factors) ** 2 - x**2 @ self.factors**2)
        return self.linear(x) + self.deep(x) + self.head(pairs)


class Coupling(nn.Module):
    """The log density of a normalizing flow of two affine couplings."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        volume = torch.zeros(len(x), 1)
        for net in self.nets:
            scale, shift = net(first).chunk(2, -1)
            second = second * scale.tanh().exp() + shift
            volume = volume + scale.tanh().sum(-1, keepdim=True)
            first, second = second, first
        return volume - 0.5 * (first.square() + second.square()).sum(-1, keepdim=True)


def ode(self: Any, x: Tensor) -> Tensor:
    """Four steps of Runge and Kutta."""
    state, step = self.into(x), 0.25
    for _ in range(4):
        k1 = self.field(state)
        k2 = self.field(state + step / 2 * k1)
        k3 = self.field(state + step / 2 * k2)
        k4 = self.field(state + step * k3)
        state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return self.out(state)


def highway(self: Any, x: Tensor) -> Tensor:
    gate = self.gate(x).sigmoid()
    return self.out(gate * self.body(x).relu() + (1 - gate) * x)


def fixed_point(self: Any, x: Tensor) -> Tensor:
    """A deep equilibrium model, iterated a fixed number of times."""
    state = torch.zeros(len(x), 8)
    for _ in range(8):
        state = (self.inside(state) * 0.5 + self.into(x)).tanh()
    return self.out(state)


def early(self: Any, x: Tensor) -> Tensor:
    """Rows that are sure leave early."""
    first = self.quick(x)
    sure = first.softmax(-1).max(-1, keepdim=True).values > 0.9
    return torch.where(sure, first, self.slow(x))


def quantized(self: Any, x: Tensor) -> Tensor:
    """As in training that knows of quantisation."""
    x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
    weight = torch.fake_quantize_per_tensor_affine(self.a.weight, 0.02, 0, -128, 127)
    hidden = F.linear(x, weight, self.a.bias).relu()
    return self.b(torch.fake_quantize_per_tensor_affine(hidden, 0.05, 0, 0, 255))


def one(name: str, model: Any, **options: Any) -> Case:
    return Case(name, model, options.pop("task", TABLE), **options)


CASES: list[Case] = [
    one("MLP, ReLU", lambda: mlp(nn.ReLU(), nn.ReLU())),
    one("MLP, tanh, dropout", lambda: mlp(nn.Tanh(), nn.Dropout(0.2), nn.Tanh())),
    one("MLP, sigmoid", lambda: mlp(nn.Sigmoid(), nn.Sigmoid())),
    one("MLP, GELU, LayerNorm", lambda: mlp(nn.Sequential(nn.LayerNorm(10), nn.GELU()), nn.GELU())),
    one("MLP, SiLU, BatchNorm", lambda: mlp(nn.Sequential(nn.BatchNorm1d(10), nn.SiLU()), nn.SiLU())),
    one("MLP, SELU, AlphaDropout", lambda: mlp(nn.SELU(), nn.AlphaDropout(0.1), nn.ELU())),
    one("MLP, PReLU, LeakyReLU", lambda: mlp(nn.PReLU(10), nn.LeakyReLU())),
    one("MLP, Mish, Softplus", lambda: mlp(nn.Mish(), nn.Softplus())),
    one("MLP, Hardswish, Hardtanh", lambda: mlp(nn.Hardswish(), nn.Hardtanh(), nn.Softsign())),
    one("MLP, RReLU, CELU, Softshrink", lambda: mlp(nn.RReLU(), nn.CELU(), nn.Softshrink(0.1))),
    one(
        "MLP, RMSNorm, ReLU squared",
        lambda: Net(
            lambda m, x: m.b(m.n(m.a(x)).relu() ** 2),
            a=nn.Linear(8, 10),
            n=nn.RMSNorm(10),
            b=nn.Linear(10, 3),
        ),
    ),
    one(
        "MLP, softmax at the end", lambda: nn.Sequential(mlp(nn.ReLU()), nn.Softmax(-1)), says="probabilities"
    ),
    one("logistic regression", lambda: nn.Linear(8, CLASSES)),
    one(
        "residual MLP",
        lambda: Net(
            lambda m, x: m.b(x + m.c(x + m.a(x).relu()).relu()),
            a=nn.Linear(8, 8),
            c=nn.Linear(8, 8),
            b=nn.Linear(8, 3),
        ),
    ),
    one(
        "dense MLP (all before joined)",
        lambda: Net(
            lambda m, x: m.b(torch.cat([x, m.a(x).relu(), m.c(torch.cat([x, m.a(x).relu()], 1)).relu()], 1)),
            a=nn.Linear(8, 6),
            c=nn.Linear(14, 6),
            b=nn.Linear(20, 3),
        ),
    ),
    one("highway", lambda: Net(highway, gate=nn.Linear(8, 8), body=nn.Linear(8, 8), out=nn.Linear(8, 3))),
    one(
        "GLU, GEGLU",
        lambda: Net(
            lambda m, x: m.c(m.b(F.glu(m.a(x))).chunk(2, -1)[0] * F.gelu(m.b(F.glu(m.a(x))).chunk(2, -1)[1])),
            a=nn.Linear(8, 12),
            b=nn.Linear(6, 12),
            c=nn.Linear(6, 3),
        ),
    ),
    one(
        "maxout",
        lambda: Net(
            lambda m, x: m.b(m.a(x).unflatten(1, (6, 3)).amax(2)), a=nn.Linear(8, 18), b=nn.Linear(6, 3)
        ),
    ),
    one("RBF network", lambda: nn.Sequential(Rbf(8, 12), nn.Linear(12, 3))),
    one("KAN", lambda: nn.Sequential(Kan(8, 6), Kan(6, 3))),
    one(
        "polynomial units",
        lambda: Net(
            lambda m, x: m.b(m.a(x) ** 2 + m.c(x) ** 3),
            a=nn.Linear(8, 6),
            c=nn.Linear(8, 6),
            b=nn.Linear(6, 3),
        ),
    ),
    one(
        "Fourier features (SIREN)",
        lambda: Net(
            lambda m, x: m.b(torch.cat([m.a(x).sin(), m.a(x).cos()], -1)),
            a=nn.Linear(8, 6),
            b=nn.Linear(12, 3),
        ),
    ),
    one(
        "bilinear", lambda: Net(lambda m, x: m.b(m.a(x).tanh(), x), a=nn.Linear(8, 6), b=nn.Bilinear(6, 8, 3))
    ),
    one(
        "mixture of experts, dense",
        lambda: Net(
            lambda m, x: (m.router(x).softmax(-1)[..., None] * torch.stack([e(x) for e in m.experts], 1)).sum(
                1
            ),
            router=nn.Linear(8, 3),
            experts=nn.ModuleList(mlp(nn.ReLU()) for _ in range(3)),
        ),
    ),
    one("mixture of experts, top-2", TopTwo),
    one("mixture of experts, sparse top-1", Switch),
    one(
        "spectral norm",
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(8, 10)), nn.ReLU(), nn.Linear(10, 3)),
    ),
    one(
        "weight norm",
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 10)), nn.ReLU(), nn.Linear(10, 3)),
    ),
    one("fake quantisation", lambda: Net(quantized, a=nn.Linear(8, 10), b=nn.Linear(10, 3))),
    one("TabNet-like", TabNet),
    one("FT-transformer-like", FeatureTokens),
    one("soft tree (NODE)", Tree),
    one("factorization machine, DeepFM", Factorization),
    one(
        "neural ODE, fixed steps",
        lambda: Net(
            ode,
            into=nn.Linear(8, 6),
            out=nn.Linear(6, 3),
            field=nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)),
        ),
    ),
    one(
        "deep equilibrium",
        lambda: Net(fixed_point, inside=nn.Linear(8, 8), into=nn.Linear(8, 8), out=nn.Linear(8, 3)),
    ),
    one("normalizing flow, log density", Coupling, says="value", steps=0),
    one(
        "hypernetwork",
        lambda: Net(
            lambda m, x: torch.einsum("bio,bi->bo", m.hyper(x[:, :4]).view(-1, 4, 3), x[:, 4:]),
            hyper=nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 12)),
        ),
    ),
    one(
        "low-rank adapter (LoRA)",
        lambda: Net(
            lambda m, x: m.b((m.a(x) + m.up(m.down(x))).relu()),
            a=nn.Linear(8, 10),
            b=nn.Linear(10, 3),
            down=nn.Linear(8, 2, bias=False),
            up=nn.Linear(2, 10, bias=False),
        ),
    ),
    one(
        "cosine classifier",
        lambda: Net(
            lambda m, x: 5 * F.normalize(m.a(x).relu(), dim=-1) @ F.normalize(m.w, dim=-1).T,
            a=nn.Linear(8, 10),
            w=nn.Parameter(torch.randn(3, 10)),
        ),
    ),
    one(
        "prototypes (distances)",
        lambda: Net(
            lambda m, x: -torch.cdist(m.a(x).tanh(), m.p),
            a=nn.Linear(8, 6),
            p=nn.Parameter(torch.randn(3, 6)),
        ),
    ),
    one("early exit", lambda: Net(early, quick=nn.Linear(8, 3), slow=mlp(nn.ReLU()))),
    one(
        "gradient checkpointing",
        lambda: Net(
            lambda m, x: m.b(checkpoint(m.a, x, use_reentrant=False)),
            a=nn.Sequential(nn.Linear(8, 10), nn.ReLU()),
            b=nn.Linear(10, 3),
        ),
    ),
]
