"""Small functions that are linear in what moves, a few for every operation, written in place or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from support.probe_functions import IMAGE, LINE, ROWS, TOKENS, VOLUME, alpha, constant, into_zeros, written

LINEAR: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "add": (lambda x: x + constant(x, 6), ROWS),
    "add alpha": (alpha, ROWS),
    "add broadcast": (lambda x: x[:1] + x, ROWS),
    "sub": (lambda x: 3 - x - x.mean(), ROWS),
    "rsub": (lambda x: torch.rsub(x, x.sum(1, True)), ROWS),
    "neg": (lambda x: -x, ROWS),
    "views": (lambda x: x.view(2, 2, 6).permute(2, 0, 1).reshape(3, 8).transpose(0, 1).unsqueeze(1), ROWS),
    "expand": (lambda x: x[:, None].expand(4, 3, 6), ROWS),
    "repeat": (lambda x: x.repeat(2, 3), ROWS),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), ROWS),
    "tile": (lambda x: x.tile(2), ROWS),
    "slice": (lambda x: x[1:, ::2], ROWS),
    "select": (lambda x: x[:, 3], ROWS),
    "index": (lambda x: x[:, [0, 0, 3]], ROWS),
    "index with mask": (lambda x: x[:, torch.tensor([True, False] * 3)], ROWS),
    "index_select": (lambda x: x.index_select(1, torch.tensor([1, 1, 5])), ROWS),
    "take_along_dim": (lambda x: x.take_along_dim(torch.tensor([[0], [1], [1], [3]]), 1), ROWS),
    "take": (lambda x: x.take(torch.tensor([0, 7, 7])), ROWS),
    "masked_select": (lambda x: x.masked_select(torch.tensor([True, False] * 3)), ROWS),
    "masked_scatter": (lambda x: x.masked_scatter(torch.tensor([True, False] * 3), x.sin()), ROWS),
    "cat": (lambda x: torch.cat([x, x * 2, constant(x, 4, 2)], 1), ROWS),
    "stack": (lambda x: torch.stack([x, x + 1], 1), ROWS),
    "split": (lambda x: x.split([1, 2, 3], 1), ROWS),
    "chunk": (lambda x: x.chunk(3, 1), ROWS),
    "tensor_split": (lambda x: x.tensor_split(4, 1), ROWS),
    "unbind": (lambda x: x.unbind(1), ROWS),
    "sum": (lambda x: (x.sum(), x.sum(1), x.mean(0, True)), ROWS),
    "nansum": (lambda x: (x.nansum(1), x.nanmean(1)), ROWS),
    "cumsum": (lambda x: x.cumsum(1), ROWS),
    "diff": (lambda x: x.diff(dim=1), ROWS),
    "flip": (lambda x: x.flip(1), ROWS),
    "roll": (lambda x: x.roll(2, 1), ROWS),
    "rot90": (lambda x: x.rot90(), ROWS),
    "tril": (lambda x: x.tril() + x.triu(1), ROWS),
    "diagonal": (lambda x: (x.diagonal(), torch.diag_embed(x), x[0].diag(), x[:, :4].trace()), ROWS),
    "unfold": (lambda x: x.unfold(1, 3, 2), ROWS),
    "im2col": (lambda x: F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1), IMAGE),
    "scatter": (lambda x: torch.zeros_like(x).scatter(1, torch.tensor([[0, 2]] * 4), x), ROWS),
    "scatter_add": (lambda x: torch.zeros_like(x).scatter_add(1, torch.tensor([[0, 0]] * 4), x), ROWS),
    "index_add": (lambda x: torch.zeros_like(x).index_add(1, torch.tensor([0, 0, 2, 3, 4, 5]), x), ROWS),
    "index_copy": (lambda x: x.sin().index_copy(1, torch.tensor([1, 0]), x[:, :2]), ROWS),
    "index_fill": (lambda x: x.index_fill(1, torch.tensor([1]), 2.0), ROWS),
    "index_put": (lambda x: x.index_put((torch.tensor([1, 0]),), x[:2] * 2), ROWS),
    "scatter_reduce": (
        lambda x: torch.zeros_like(x).scatter_reduce(1, torch.tensor([[0, 0, 1]] * 4), x[:, :3], "sum"),
        ROWS,
    ),
    "segments": (lambda x: x.select_scatter(x[:, 0] * 2, 1, 3).slice_scatter(x[:, :2], 1, 4, 6), ROWS),
    "diagonal_scatter": (lambda x: x.diagonal_scatter(x[:, 0], 0), ROWS),
    "pad": (lambda x: F.pad(x, (1, 2), value=3.0), ROWS),
    "pad 1d": (
        lambda x: [F.pad(x, (2, 1), mode=mode) for mode in ("reflect", "replicate", "circular")],
        LINE,
    ),
    "pad 2d": (
        lambda x: [F.pad(x, (2, 1, 1, 1), mode=m) for m in ("reflect", "replicate", "circular")],
        IMAGE,
    ),
    "pad 3d": (
        lambda x: [F.pad(x, (1, 1) * 3, mode=m) for m in ("reflect", "replicate", "circular")],
        VOLUME,
    ),
    "avg_pool": (lambda x: (F.avg_pool2d(x, 2), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)), IMAGE),
    "avg_pool1d": (lambda x: (F.avg_pool1d(x, 2), F.adaptive_avg_pool1d(x, 4)), LINE),
    "avg_pool3d": (lambda x: (F.avg_pool3d(x, 2), F.adaptive_avg_pool3d(x, 2)), VOLUME),
    "adaptive_avg_pool2d": (lambda x: (F.adaptive_avg_pool2d(x, 4), F.adaptive_avg_pool2d(x, 1)), IMAGE),
    "interpolate 1d": (
        lambda x: [F.interpolate(x, scale_factor=2, mode=m) for m in ("nearest", "nearest-exact", "linear")],
        LINE,
    ),
    "interpolate 2d": (
        lambda x: [
            F.interpolate(x, size=(9, 4), mode=mode)
            for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        ],
        IMAGE,
    ),
    "interpolate smooth": (
        lambda x: [F.interpolate(x, size=(4, 4), mode=m, antialias=True) for m in ("bilinear", "bicubic")],
        IMAGE,
    ),
    "interpolate 3d": (
        lambda x: [
            F.interpolate(x, scale_factor=1.5, mode=m) for m in ("nearest", "nearest-exact", "trilinear")
        ],
        VOLUME,
    ),
    "grid_sample": (lambda x: F.grid_sample(x, constant(x, 2, 3, 3, 2).tanh(), align_corners=False), IMAGE),
    "pixel_shuffle": (lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)), IMAGE),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), IMAGE),
    "dtypes": (lambda x: x.double().float().to(x.dtype) if x.dtype == torch.float32 else x.clone(), ROWS),
    "fourier": (lambda x: torch.fft.irfft(torch.fft.rfft(x) * constant(x, 4)), ROWS),
    "fourier 2d": (lambda x: (torch.fft.fft2(x).real, torch.fft.fftshift(torch.fft.ifft2(x)).imag), IMAGE),
    "complex": (lambda x: torch.view_as_real(torch.complex(x, x.sin()).conj().resolve_conj()), ROWS),
    "complex view": (
        lambda x: torch.view_as_real(torch.view_as_complex(x[:, :4].reshape(-1, 2, 2)) * (1 + 2j)),
        ROWS,
    ),
    "complex numbers of Python": (
        lambda x: torch.view_as_real(torch.add(x / (2 - 1j), x.flip(0) * 1j, alpha=1 - 3j)),
        ROWS,
    ),
    "einsum": (lambda x: torch.einsum("btc,dc->dbt", x, constant(x, 3, 8)), TOKENS),
    "tensordot": (lambda x: torch.tensordot(x, constant(x, 8, 5, 2), ([2, 1], [0, 1])), TOKENS),
    "moved axes": (lambda x: x.movedim(0, -1).swapaxes(0, 1).flatten().unflatten(0, (8, 10)).mT, TOKENS),
    "meshgrid": (lambda x: torch.meshgrid(x[0], x[1], indexing="ij"), ROWS),
    "atleast": (lambda x: torch.block_diag(x, x * 2), ROWS),
    "kron": (lambda x: torch.kron(x, constant(x, 2, 2)), ROWS),
    "copy": (lambda x: torch.empty_like(x).copy_(x), ROWS),
    "dropout in eval": (lambda x: F.dropout(x, 0.5, False), ROWS),
    "mv": (
        lambda x: (x.mv(constant(x, 6)), x[0].dot(constant(x, 6)), torch.addmv(x[:, 0], x, constant(x, 6))),
        ROWS,
    ),
    "in place": (written(lambda x: x.add_(1).mul_(2)), ROWS),
    "in place, view": (written(lambda x: x[:, 0].add_(x[:, 1])), ROWS),
    "in place, zeros": (into_zeros, ROWS),
    "in place, fill": (written(lambda x: (x[:, 0].fill_(3.0), x[:, 1].zero_())), ROWS),
    "in place, scatter": (written(lambda x: x.index_add_(0, torch.tensor([0]), x[1:2] * 2)), ROWS),
}
"""Linear in what moves."""
