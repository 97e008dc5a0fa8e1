"""Safetensors files taken apart, changed in their header or tensors, and written again, valid or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U64": "<u8", "U32": "<u4", "U8": "u1", "BOOL": "?", "C64": "<c8"},
}

ODD_TYPES = ("BF16", "F8_E4M3", "F8_E5M2", "F4", "F99", "f32", "")

WIDTHS = {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1} | {
    name: np.dtype(kind).itemsize for name, kind in TYPES.items()
}

NUMBERS = (
    *(
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        0.5,
        1e-9,
        -1e-9,
        1e15,
        -1e15,
        1e60,
        -1e60,
        1e14,
        1e-15,
        1e61,
        1e30,
        1e38,
        1e200,
        1e308,
    ),
    *(-1e308, 5e-324, 1e-310, 1e-300, float("nan"), float("inf"), float("-inf"), 2.0**53, 2.0**63),
)

TEXTS = (
    *(
        "",
        " ",
        "a",
        "input",
        "output",
        "=1+1",
        "-1",
        "@x",
        "\t=2",
        "$x_{$",
        "$\\frac$",
        "<b>x",
        "\ud800",
        "\0",
    ),
    *("\x1b[31mred\x1b[0m", "\u202egnp.exe", "\x07\x08", "\r\n", "a\u0301" * 40, "w" * 5000, "\U0001f9e0"),
    *("{}", "%s%n", "../../etc", "nan", "1e400", "\u2028", "None"),
)

VALUES = (
    *(None, True, False, 0, 1, 2, -1, 3, 7, 255, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400),
    *(
        0.5,
        -0.5,
        1e308,
        -1e308,
        1e-320,
        float("nan"),
        float("inf"),
        [],
        {},
        [[]],
        [0],
        [1, 2],
        {"a": 1},
        [None],
    ),
)


@dataclass
class Tensor:
    """As the file holds it: its type by name, its declared shape and its bytes."""

    kind: str
    shape: list[int]
    content: bytes

    def array(self) -> np.ndarray | None:
        """The numbers, where they can be read."""
        if self.kind not in TYPES or len(self.content) % WIDTHS[self.kind]:
            return None
        values = np.frombuffer(self.content, TYPES[self.kind])
        return values.reshape(self.shape) if values.size == np.prod(self.shape, dtype=object) else None

    def put(self, values: np.ndarray) -> None:
        """Replace the numbers."""
        self.shape, self.content = list(values.shape), np.ascontiguousarray(values).tobytes()


@dataclass
class TensorFile:
    """The entries of the header by name, and the tensors."""

    header: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, content: bytes) -> TensorFile:
        """From the bytes of a valid file."""
        length = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + length])
        body, header = content[8 + length :], entries.pop("__metadata__", {})
        tensors = {
            name: Tensor(entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in entries.items()
        }
        return cls(header, tensors)

    def write(self, random: Random | None = None) -> bytes:
        """The bytes of the file; with a random generator, its outer structure may be damaged."""
        entries: dict[str, Any] = {"__metadata__": self.header} if self.header else {}
        begin = 0
        for name, tensor in self.tensors.items():
            ends = [begin, begin + len(tensor.content)]
            entries[name] = {"dtype": tensor.kind, "shape": tensor.shape, "data_offsets": ends}
            begin = ends[1]
        if random is not None:
            _damage_entries(entries, random)
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        body = b"".join(tensor.content for tensor in self.tensors.values())
        return len(text).to_bytes(8, "little") + text + body


def _damage_entries(entries: dict[str, Any], random: Random) -> None:
    """Declare other types, shapes and places than those of the bytes."""
    names = [name for name in entries if name != "__metadata__"]
    if not names:
        return
    entry, field_name = entries[random.choice(names)], random.choice(["dtype", "shape", "data_offsets"])
    if field_name == "dtype":
        entry["dtype"] = random.choice([*TYPES, *ODD_TYPES, None, 3])
    elif random.random() < 0.2 or not entry[field_name]:
        entry[field_name] = random.choice([None, "x", [2**62, 2**62], [2**40], [-1], [0], [1.5], [2**63, 2]])
    else:
        place = random.randrange(len(entry[field_name]))
        entry[field_name][place] = random.choice([0, -1, 1, 2**31, 2**40, 2**62, 2**64, entry[field_name][0]])


def changed_bytes(content: bytes, random: Random) -> bytes:
    """A few bytes flipped, cut, repeated or put in."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 5])):
        at = (
            random.randrange(len(changed) + 1)
            if random.random() < 0.5
            else random.randrange(min(len(changed), 300) + 1)
        )
        kind = random.randrange(5)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del changed[at : at + random.choice([1, 4, 100, len(changed)])]
        elif kind == 2:
            changed[at:at] = random.randbytes(random.choice([1, 8]))
        elif kind == 3:
            changed[at:at] = changed[at : at + random.choice([1, 16, 200])]
        elif at < len(changed):
            changed[at] = random.choice([0, 255, 0x22, 0x2C, 0x5B, 0x7B, 0x2D, 0x39])
    return bytes(changed)


def changed_json(text: str, random: Random) -> str:
    """JSON with one place of it changed; sometimes no JSON any more."""
    if random.random() < 0.15:
        return changed_text(text, random)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return changed_text(text, random)
    holder = {"root": tree}
    places = list(_places(holder))
    parent, key = random.choice(places)
    _change(parent, key, random, places)
    written = json.dumps(holder.get("root"))
    if random.random() < 0.03:  # more digits than Python reads, and more brackets than it can
        odd = random.choice(["9" * 5000, "[" * 100_000, "[" * 500 + "]" * 500, '{"a":1,"a":2}', "1e999", "-"])
        at = written.find("0")
        written = written[:at] + odd + written[at + 1 :]
    return written


def _places(tree: Any) -> Any:
    """Every place of a tree, as its holder and its key or index there."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from _places(tree[key])


def _change(parent: Any, key: Any, random: Random, places: list[Any]) -> None:
    kind, value = random.randrange(7), parent[key]
    if kind == 0:
        parent[key] = random.choice(VALUES)
    elif kind == 1:
        parent[key] = random.choice(TEXTS)
    elif kind == 2:
        del parent[key]
    elif kind == 3 and isinstance(parent, list):
        parent.insert(key, value)
    elif kind == 4:
        other, place = random.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            parent[key] = json.loads(json.dumps(other[place]))
    elif kind == 5 and isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
        parent[key] = random.choice([value + 1, value - 1, -value, value * 1000, str(value), float(value)])
    elif isinstance(parent, dict):
        parent[random.choice(TEXTS)] = parent.pop(key) if kind == 6 else random.choice(VALUES)
    else:
        parent[key] = random.choice(VALUES)


def changed_text(text: str, random: Random) -> str:
    """Text with a few letters more, less or repeated."""
    at = random.randrange(len(text) + 1)
    length = random.choice([1, 1, 2, 10])
    return random.choice(
        [
            text[:at] + text[at + length :],
            text[:at],
            text[:at] + random.choice(TEXTS) + text[at:],
            text[:at] * 2 + text[at:],
        ]
    )


def change_numbers(tensor: Tensor, random: Random) -> None:
    """Some numbers of a tensor, or all."""
    values = tensor.array()
    if values is None or values.size == 0:
        tensor.content = changed_bytes(tensor.content, random) if tensor.content else b"\0"
        return
    flat = values.copy().ravel()
    wanted = random.choice(NUMBERS)
    with np.errstate(all="ignore"):
        new = np.array(wanted).astype(flat.dtype) if random.random() < 0.7 else random.choice(flat.tolist())
        kind = random.randrange(5)
        if kind == 0:
            flat[:] = new
        elif kind == 1:
            flat = (
                flat * flat.dtype.type(random.choice([-1, 0, 2, 100]))
                if flat.dtype.kind in "fi"
                else flat[::-1]
            )
        elif kind == 2:
            random.shuffle(order := list(range(len(flat))))
            flat = flat[order]
        else:
            for _ in range(random.choice([1, 1, 3])):
                flat[random.randrange(len(flat))] = new
    tensor.put(flat.reshape(values.shape))


def change_shape(tensor: Tensor, random: Random) -> None:
    """Another shape, of the same bytes or of fewer or more."""
    values = tensor.array()
    if values is None:
        return
    ways: list[Callable[[], np.ndarray]] = [
        lambda: values.T, values.ravel, lambda: values[None], lambda: values[:0], lambda: values[:-1],
        lambda: np.concatenate([values, values]) if values.ndim else values[None], lambda: values[..., None],
        lambda: np.array(values.flat[0] if values.size else 0, values.dtype),
    ]  # fmt: skip
    if values.ndim:
        tensor.put(random.choice(ways)())


def change_type(tensor: Tensor, random: Random) -> None:
    """Another type: numbers converted, or the same bytes called otherwise."""
    values, kind = tensor.array(), random.choice([*TYPES, *ODD_TYPES])
    if kind in TYPES and values is not None and random.random() < 0.6:
        with np.errstate(all="ignore"):
            tensor.put(values.astype(TYPES[kind]))
    elif kind in WIDTHS:
        count = int(np.prod(tensor.shape, dtype=object))
        tensor.content = (tensor.content * 8)[: count * WIDTHS[kind]]
    tensor.kind = kind


def changed(content: bytes, random: Random) -> bytes:
    """A safetensors file with one to three changes."""
    if random.random() < 0.1:
        return changed_bytes(content, random)
    file = TensorFile.read(content)
    damage = random if random.random() < 0.08 else None
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        names = list(file.tensors)
        if file.header and (random.random() < 0.5 or not names):
            _change_header(file.header, random)
        elif names:
            _change_tensor(file.tensors, random.choice(names), random)
    return file.write(damage)


def _change_header(header: dict[str, Any], random: Random) -> None:
    name = random.choice(list(header))
    kind = random.random()
    if kind < 0.8 and isinstance(header[name], str):
        header[name] = changed_json(header[name], random)
    elif kind < 0.86:
        del header[name]
    elif kind < 0.9:
        header[random.choice(TEXTS)] = header.pop(name)
    else:
        header[name] = random.choice(
            [*TEXTS, "²", "3", "9" * 5000, "[]", "{}", "null", None, 2, header[name]]
        )


def _change_tensor(tensors: dict[str, Tensor], name: str, random: Random) -> None:
    kind = random.random()
    if kind < 0.5:
        change_numbers(tensors[name], random)
    elif kind < 0.68:
        change_shape(tensors[name], random)
    elif kind < 0.82:
        change_type(tensors[name], random)
    elif kind < 0.9:
        del tensors[name]
    elif kind < 0.96:
        tensors[name] = tensors[random.choice(list(tensors))]
    else:
        tensors[random.choice([*TEXTS[:-1], name + "/x", name.replace("0", "9"), "kept/x/y", "kept/9/y"])] = (
            tensors.pop(name)
        )
