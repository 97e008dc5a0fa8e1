"""Products of the compiled critics: exact, and the same bits with any instruction set."""

from __future__ import annotations

import inspect
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nif.estimators.neural.compiled.tile import COLUMNS, ROWS, add_outer, layer, tile_shape

INSTRUCTION_SETS = {
    "AVX2": ("haswell", "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe,+cx16,+sse4.2"),
    "SSE": ("x86-64-v2", "+sse4.2,+cx16,+popcnt"),
}
"""Processors that numba can compile for on any other x86 processor."""


IMPORTS = """
import sys
import types
import numpy as np
import nif

for name in ("nif.estimators", "nif.estimators.neural"):  # what these import takes 2 s, and is not needed
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [nif.__path__[0] + name.removeprefix("nif").replace(".", "/")]

from nif.estimators.neural.compiled.tile import COLUMNS, ROWS, add_outer, layer
"""


def products(width: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both products of random operands by compiled code, and the same in double precision."""
    generator = np.random.default_rng(width)
    a, b = generator.normal(size=(2, 64, width)).astype(np.float32)
    weights, bias = (generator.normal(size=size).astype(np.float32) for size in ((width, width), width))
    forward, outer = np.empty_like(a), weights.copy()
    layer(forward.ravel(), bias, 0, a.ravel(), weights.ravel(), 0, 64, width)
    add_outer(outer.ravel(), 0, a.ravel(), b.ravel(), 64, width)
    wide_a, wide_b, wide_weights = (array.astype(np.float64) for array in (a, b, weights))
    return [forward, outer], [bias + wide_a @ wide_weights, wide_weights + wide_a.T @ wide_b]


def bits() -> str:
    """All digits of both products."""
    return " ".join(array.tobytes().hex() for width in (32, 96) for array in products(width)[0])


@pytest.mark.parametrize("width", [32, 64, 96])
def test_products_equal_those_in_double_precision(width: int) -> None:
    for computed, expected in zip(*products(width), strict=True):
        np.testing.assert_allclose(computed, expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction sets are those of x86")
def test_the_bits_do_not_depend_on_the_instruction_set(name: str, tmp_path: Path) -> None:
    processor, features = INSTRUCTION_SETS[name]
    environment = {
        **os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }  # fmt: skip
    functions = inspect.getsource(products) + inspect.getsource(bits)
    program = f"{IMPORTS}{functions}print(ROWS, COLUMNS, bits())"
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows, columns, *digits = run.stdout.split()
    assert (int(rows), int(columns)) == tile_shape("x86_64", features)
    assert digits == bits().split()


@pytest.mark.parametrize("features", ["+avx512f", "+avx2", "+sse4.2", ""])
@pytest.mark.parametrize("processor", ["x86_64-unknown-linux-gnu", "arm64-apple-darwin", "aarch64-linux-gnu"])
def test_tiles_divide_64_samples_and_32_units(processor: str, features: str) -> None:
    rows, columns = tile_shape(processor, features)
    assert 32 % rows == 0
    assert 32 % columns == 0
    assert 32 % ROWS == 32 % COLUMNS == 0
