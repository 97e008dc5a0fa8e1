"""What recording costs, and the flow of a residual network.

``python benchmarks/recording.py [--only time memory resnet]`` prints

- the processor time of recording over that of the plain forward passes in batches of the same size, the
  median of several runs in one thread; beside it that of hooks which do nothing but copy the same activations
  into one array a layer, the least that keeping them costs;
- peak memory of recording 100,000 and 1,000,000 rows that are made as they are read, and of measuring links
  from all of them, each in a fresh process;
- the time from a residual network of about 1,000 channels and 2,000 images to its flow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

import nif
from environment import environment, peak
from networks import cnn, mlp
from nif.data.rows import BATCH
from nif.estimators.estimate import Estimator
from nif.network.recording import record

REPEATS = 7


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(inside)) + self.shortcut(x))
        return out


def resnet() -> nn.Sequential:
    """Six blocks of 32, 64 and 128 channels: 928 channels behind non-linearities."""
    blocks = [Block(*shape) for shape in ((32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2))]
    stem = [nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    end = [Block(128, 128, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]
    return nn.Sequential(*stem, *blocks, *end)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP 64-256-128-10": (lambda: mlp(64, 256, 128, 10), (100_000, 64)),
    "MLP 784-300-100-10": (lambda: mlp(784, 300, 100, 10), (20_000, 784)),
    "MLP 784-1200-1200-10": (lambda: mlp(784, 1200, 1200, 10), (10_000, 784)),
    "CNN 16-32-64 on 28 x 28": (cnn, (3_000, 1, 28, 28)),
    "ResNet 32-64-128 on 28 x 28": (resnet, (300, 1, 28, 28)),
}


def overhead() -> pd.DataFrame:
    """Recording beside plain passes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = []
    for name, (make, shape) in MODELS.items():
        model, x = make().eval(), torch.randn(shape)
        kept = [layer.name for layer in record(model, x[:64], progress=False).layers[1:-1]]
        runs = [
            (plain_seconds(model, x), copying_seconds(model, x, kept), recording_seconds(model, x))
            for _ in range(REPEATS)
        ]
        rows.append(
            {
                "model": name,
                "rows": len(x),
                "plain, s": statistics.median(plain for plain, _, _ in runs),
                "copying / plain": statistics.median(copied / plain for plain, copied, _ in runs),
                "recording / plain": statistics.median(recorded / plain for plain, _, recorded in runs),
            }
        )
    return pd.DataFrame(rows)


def plain_seconds(model: nn.Module, x: Tensor) -> float:
    """Processor time of the forward passes alone."""
    start = time.process_time()
    with torch.no_grad():
        for batch in x.split(BATCH):
            model(batch)
    return time.process_time() - start


def copying_seconds(model: nn.Module, x: Tensor, names: Sequence[str]) -> float:
    """Processor time of passes with a hook that copies, at each layer kept, and the output."""
    start = time.process_time()
    rooms: dict[str, np.ndarray] = {}
    first = 0

    def keep(name: str, values: Tensor) -> None:
        flat = values if values.ndim == 2 else values.mean(dim=(2, 3))
        if name not in rooms:
            rooms[name] = np.empty((len(x), flat.shape[1]), dtype=np.float32)
        rooms[name][first : first + len(flat)] = flat.numpy()

    def hook(name: str) -> Callable[..., None]:
        return lambda module, given, returned: keep(name, returned)

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    with torch.no_grad():
        for batch in x.split(BATCH):
            keep("output", model(batch))
            first += len(batch)
    for handle in handles:
        handle.remove()
    return time.process_time() - start


def recording_seconds(model: nn.Module, x: Tensor) -> float:
    """Processor time of recording the same."""
    start = time.process_time()
    record(model, x, progress=False)
    return time.process_time() - start


class Stream(IterableDataset):
    """Batches of rows that are made as they are read."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.rows // 1000):
            yield torch.randn(1000, 64, generator=generator)


def kept(data: Any) -> None:
    """Record up to 100,000 rows."""
    record(mlp(64, 256, 128, 10), data, progress=False)


def all_rows(estimator: Estimator, data: Any) -> None:
    """Measure links from 20,000 rows, drawn from all."""
    model = mlp(64, 32, 10)
    nif.measure(model, data, nif.Association(estimator, rows=20_000), progress=False)


WORK: dict[str, Callable[[Any], None]] = {
    "recording": kept,
    "links by Binned": partial(all_rows, nif.Binned()),
    "links by GaussianCopula": partial(all_rows, nif.GaussianCopula()),
}


def memory_of(work: str, rows: int) -> float:
    """Megabytes that this process has held at most, above those before the work."""
    WORK[work](torch.randn(1000, 64))
    before = peak()
    WORK[work](DataLoader(Stream(rows), batch_size=None))
    return peak() - before


def memory() -> pd.DataFrame:
    """The same in a fresh process for each size."""
    rows = []
    for work in WORK:
        for size in (100_000, 1_000_000):
            command = [sys.executable, __file__, "--memory-of", work, str(size)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append({"work": work, "rows": size, "MB above start": json.loads(output)})
    return pd.DataFrame(rows)


def flow_of_resnet() -> pd.DataFrame:
    """Seconds from a residual network and its images to a flow with p-values."""
    torch.manual_seed(0)
    x, model = torch.randn(2_000, 1, 28, 28), resnet().eval()
    nif.measure(mlp(4, 3, 2), torch.randn(100, 4), nif.Binned(), progress=False)  # compiles
    start, used = time.perf_counter(), time.process_time()
    flow = nif.measure(model, x, nif.Binned(), input_groups=4, progress=False)
    measured = {"seconds": time.perf_counter() - start, "processor seconds": time.process_time() - used}
    channels = sum(len(layer) for layer in flow.layers[1:-1])
    return pd.DataFrame([{"channels": channels, "terms": flow.measurement.options["terms"], **measured}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=[*STUDIES])
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        work, rows = options.memory_of
        print(json.dumps(memory_of(work, int(rows))))
        return
    print(environment())
    for name in options.only:
        found = STUDIES[name]()
        print(f"\n{name}\n{found.to_string(index=False, float_format='%.2f')}", flush=True)


STUDIES: dict[str, Callable[[], pd.DataFrame]] = {
    "time": overhead,
    "memory": memory,
    "resnet": flow_of_resnet,
}


if __name__ == "__main__":
    main()
