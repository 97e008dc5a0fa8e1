"""The processor and the versions that a benchmark ran with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numba
import numpy as np
import scipy
import sklearn
import torch
from numba.core.registry import cpu_target

import nif


def environment() -> str:
    """Processor, cores, instruction set and versions, in two lines."""
    versions = {
        "nif": nif.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "numba": numba.__version__,
    }
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{_processor()}, {os.cpu_count()} cores, {instruction_set()}\n{packages}"


def instruction_set() -> str:
    """The vectors that numba compiles for."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return next((name for name in ("avx512f", "avx2", "avx", "neon") if f"+{name}" in features), "no AVX")


def peak() -> float:
    """Peak memory of this process in megabytes (Linux; with `getrusage` it would inherit its parent's)."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def current() -> float:
    """Memory of this process now, in megabytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmRSS:")[2].split()[0]) / 1024


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
