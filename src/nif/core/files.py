"""Atomic file writes."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import signal
import stat
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nif.core.errors import InputError

LONGEST = 40
"""Letters of the name that the temporary file repeats: a long name leaves no room for more."""

HOST = f"{zlib.crc32(platform.node().encode()):08x}"
"""Of temporary files that processes of this machine write."""


@contextmanager
def whole_file(path: str | os.PathLike[str], what: str) -> Iterator[Path]:
    """A temporary file beside `path`, which is renamed to it at the end and removed after an error.

    It is created at once, so that a path that cannot be written fails before the work. A file that is
    replaced passes on its mode, a new one has the mode of the user's files; a symbolic link stays one. What a
    killed process left behind while it wrote the same path is removed.

    Args:
        path: Of the file.
        what: The subject of error messages, such as ``"The report"``.

    Raises:
        InputError: The path cannot be written, is read-only, or is a device, a pipe or a link to itself; an
            existing file is unchanged.

    Example:
        >>> with whole_file("missing/flow.html", "The report"):
        ...     pass
        Traceback (most recent call last):
        nif.InputError: The report cannot be written to missing/flow.html ...
    """
    target = Path(path)
    if not target.name or "\0" in target.name:
        raise InputError(f"{what} cannot be written to {os.fspath(path)!r}; pass the name of a file.")
    beside = None
    try:
        target = Path(os.path.realpath(target))
        mode = _mode(target, what)
        _remove_abandoned(target)
        beside = _beside(target)
        mode = stat.S_IMODE(beside.stat().st_mode) if mode is None else mode
        beside.chmod(mode)
        yield beside
        beside.chmod(mode)  # some writers make a file of their own
        beside.replace(target)
    except OSError as error:
        raise InputError(
            f"{what} cannot be written to {os.fspath(path)} ({error.strerror or error}); pass a path in an "
            "existing directory."
        ) from error
    finally:
        with suppress(OSError):  # renamed already
            if beside is not None:
                beside.unlink()


def _mode(target: Path, what: str) -> int | None:
    """The permissions of a file that is there; None if there is none."""
    if target.is_symlink():  # though links were followed
        raise InputError(f"{what} cannot be written to {target}, a link to itself; pass the name of a file.")
    if not target.exists() or target.is_dir():
        return None
    found = target.stat().st_mode
    if not stat.S_ISREG(found):
        raise InputError(f"{what} cannot be written to {target}, a device or pipe; pass the name of a file.")
    refuse_read_only(target, what)
    return stat.S_IMODE(found)


def refuse_read_only(target: Path, what: str) -> None:
    """Also where the user may write all files.

    Raises:
        InputError: There is a file that nobody may write.
    """
    if target.exists() and not target.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(f"{what} cannot be written to {target}, which is read-only; pass another name.")


def _beside(target: Path) -> Path:
    """A new file that no other process or thread writes, with the mode of the user's files."""
    name = f".{target.name[:LONGEST]}.{HOST}.{os.getpid()}.{secrets.token_hex(4)}"
    os.close(os.open(target.parent / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return target.parent / name


def _remove_abandoned(target: Path) -> None:
    """Remove temporary files of this path whose process has ended."""
    if os.name != "posix":
        return
    pattern = re.compile(rf"\.{re.escape(target.name[:LONGEST])}\.{HOST}\.(\d+)\.[0-9a-f]{{8}}")
    with suppress(OSError):
        for beside in list(target.parent.iterdir()):
            found = pattern.fullmatch(beside.name)
            if found and not _runs(int(found[1])):
                beside.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


@contextmanager
def scratch_folder(path: str | os.PathLike[str] | None) -> Iterator[Path | None]:
    """A new folder within another, for the files of one call; None for None.

    It is this user's alone, and removed at the end; that of a killed process, at the next call.

    Raises:
        InputError: The other folder does not exist, or cannot be written.

    Example:
        >>> with scratch_folder("missing"):
        ...     pass
        Traceback (most recent call last):
        nif.InputError: scratch is missing ...
    """
    if path is None:
        yield None
        return
    begin = f"nif-{HOST}-"
    try:
        parent = Path(path).resolve(strict=True)
        for found in list(parent.glob(f"{begin}*-*")):
            process = found.name.removeprefix(begin).partition("-")[0]
            if os.name == "posix" and process.isdigit() and not _runs(int(process)):
                shutil.rmtree(found, ignore_errors=True)
        folder = parent / f"{begin}{os.getpid()}-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scratch is {os.fspath(path)} ({error}); expected a folder that exists and can be written."
        ) from error
    try:
        with _removed_when_terminated(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _removed_when_terminated(folder: Path) -> Iterator[None]:
    """Inside, SIGTERM removes the folder before it ends the process, unless the user has a handler for it."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    owner = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() == owner:  # and not a worker that was forked
            shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def other_ending(path: str | os.PathLike[str]) -> str:
    """The ending of a path that is not that of a file of safetensors; empty of one without an ending.

    Example:
        >>> other_ending("flow.TXT"), other_ending("flow.safetensors"), other_ending("flow")
        ('.txt', '', '')
    """
    ending = Path(path).suffix.lower()
    return "" if ending == ".safetensors" else ending


def writable(path: Path, *, ending: str) -> Path:
    """The path, if a file with this ending can be created there; nothing is left behind.

    Raises:
        InputError: The ending differs, or the directory does not exist or cannot be written to.
    """
    if path.suffix.lower() != ending:
        raise InputError(f"The output is {path}; expected a name that ends in {ending}.")
    if path.is_dir():
        raise InputError(f"The output {path} is a directory; expected a name for a file.")
    if not path.parent.is_dir():
        raise InputError(
            f"The output {path} cannot be written: there is no directory {path.parent}; create it first."
        )
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".nif"):
            pass
    except OSError as error:
        raise InputError(
            f"The output {path} cannot be written ({error}); pass a path in an existing directory."
        ) from error
    return path


def refuse_unwritable(out: Path) -> None:
    """Create the directory and write to it once, before any long work.

    Raises:
        InputError: It cannot be created or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".nif"):
            pass
    except OSError as error:
        raise InputError(f"Cannot write to {out} ({error}); pass a writable directory to --out.") from error
