"""Files of rows (.csv, .npy, .npz) and archives, changed at random."""

from __future__ import annotations

import io
import zipfile
from random import Random

from support.tensor_files import TEXTS, changed_bytes, changed_text

CELLS = (
    *(
        "",
        " ",
        "nan",
        "NaN",
        "NA",
        "inf",
        "-inf",
        "1e400",
        "-0",
        "0x1f",
        "1_000",
        "1,5",
        "1.5.2",
        "12 %",
        "$3",
    ),
    *(
        "true",
        "2020-01-01",
        "9" * 400,
        "9" * 6000,
        "1e-400",
        "=1+1",
        "@x",
        '"',
        '""',
        "'",
        "\\",
        "\0",
        "\x1a",
    ),
    *("\u202e", "a,b", "a;b", "a\tb", "line\nbreak", "18446744073709551616", "-9223372036854775809", "1j"),
)


def changed_rows(content: bytes, random: Random) -> bytes:
    """A .csv with cells, lines, names or bytes changed."""
    if random.random() < 0.2:
        return changed_bytes(content, random)
    separator = ";" if b";" in content else ","
    lines = [line.split(separator) for line in content.decode().splitlines()]
    for _ in range(random.choice([1, 1, 2, 4])):
        _change_line(lines, random)
    text = random.choice(["\n", "\n", "\r\n", "\r"]).join(separator.join(line) for line in lines)
    if random.random() < 0.1:
        text = changed_text(text, random)
    encoding = random.choice(["utf-8"] * 8 + ["latin-1", "utf-16", "utf-8-sig"])
    return text.encode(encoding, errors="replace")


def _change_line(lines: list[list[str]], random: Random) -> None:
    if not lines:
        return
    place = 0 if random.random() < 0.25 else random.randrange(len(lines))
    line, kind = lines[place], random.randrange(6)
    if kind <= 2 and line:
        line[random.randrange(len(line))] = random.choice([*CELLS, *TEXTS])
    elif kind == 3:
        line.insert(random.randrange(len(line) + 1), random.choice(CELLS))
    elif kind == 4 and line:
        del line[random.randrange(len(line))]
    elif kind == 5:
        lines[place : place + 1] = random.choice([[], [line, line], [[]], [line] * 50])


def _header(descr: str, shape: str, order: object = False) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


HEADERS = (
    *(
        _header("'<f8'", shape)
        for shape in ("(10000000000000, 1)", "(-1,)", "()", "(2**62, 4)", "(2 , 10**12)")
    ),
    *(_header("'<f8'", shape) for shape in ("(True, 2)", "(1,) * 70", "(4611686018427387904, 4)", "(0, 3)")),
    *(
        _header(f"'{kind}'", "(2,)")
        for kind in ("|O", "<c16", "<M8[s]", "<m8[D]", "<U3", "|V8", "|S0", "<f16")
    ),
    *(_header(f"'{kind}'", "(0, 3)") for kind in ("<f2", ">i8", "|b1", "<u8", "|u1", "x", "")),
    *(
        _header("'|S4'", "(1,)", order=0),
        _header("[('a', '<f8'), ('b', '<i4')]", "(1,)"),
        "{}",
        "[1]",
        "(" * 500,
    ),
    "{'descr': 'x'}",
)


def changed_array(content: bytes, random: Random) -> bytes:
    """An .npy with another header, or bytes changed."""
    if random.random() < 0.4:
        return changed_bytes(content, random)
    length = int.from_bytes(content[8:10], "little")
    header, body = content[10 : 10 + length].decode(), content[10 + length :]
    header = random.choice(HEADERS) if random.random() < 0.6 else changed_text(header, random)
    encoded = header.encode("latin-1", errors="replace")[:60000]
    body = random.choice([body, b"", body[:7], body * 3, changed_bytes(body, random)])
    return content[:8] + len(encoded).to_bytes(2, "little") + encoded + body


def changed_archive(content: bytes, random: Random) -> bytes:
    """A zip (.npz, .pt) with bytes changed, or one of its files changed, lost, twice or much larger."""
    if random.random() < 0.35:
        return changed_bytes(content, random)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        names = old.namelist()
        files = {name: old.read(name) for name in names}
    name = random.choice(names)
    kind = random.randrange(6)
    if kind <= 2:
        change = changed_array if name.endswith(".npy") else changed_bytes
        files[name] = change(files[name], random)
    elif kind == 3:
        del files[name]
    elif kind == 4:
        files[random.choice([*TEXTS[:4], "a.npy", "x", "b", "word.npy", "../x.npy"])] = files[name]
    else:
        files[name] = files[random.choice(names)]
    with zipfile.ZipFile(written, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as new:
        for name, inside in files.items():
            new.writestr(name or "empty", inside)
    return written.getvalue()
