"""Networks as skorch and Lightning hold them are measured and pruned like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from support.networks import chain

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))


def by_skorch() -> Any:
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(chain(4, 6, 2), max_epochs=1, verbose=0, train_split=None)
    return net.fit(X.numpy(), (X[:, 0] > 0).long().numpy())


def by_lightning() -> Any:
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = chain(4, 6, 2)

        def forward(self, x: Tensor) -> Any:
            return self.net(x)

    return Classifier()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "relu"), [(by_skorch, "1"), (by_lightning, "net.1")])
def test_measured_pruned_and_shrunk(make: Any, relu: str, tmp_path: Path) -> None:
    model = make()
    network: nn.Module = getattr(model, "module_", model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flow = nif.measure(model, X, nif.Binned(), progress=False)
    assert [layer.name for layer in flow.layers] == ["input", relu, "output"]
    small = nif.prune(model, flow, X, remove=0.5, tolerance=None, progress=False)
    assert len(small.removed) == 3
    small.save(tmp_path / "small")
    again = nif.shrink(model, tmp_path / "small")
    with torch.no_grad():
        np.testing.assert_array_equal(again(X), small.model(X))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
