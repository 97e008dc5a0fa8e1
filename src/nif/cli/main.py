"""The command line: every command, with errors as one line on stderr and exit code 2."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from nif.cli.compare import compare
from nif.cli.console import show_everything
from nif.cli.demo import demo
from nif.cli.estimate import estimate
from nif.cli.layers import layers
from nif.cli.measure import measure
from nif.cli.prune import prune
from nif.cli.report import report
from nif.cli.show import show
from nif.core import __version__
from nif.core.text import visible

DEBUG = "--debug"
INTERRUPTED = 130

SECONDS_OF_LOADING = 2.0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nif")
@click.option(DEBUG, is_flag=True, help="Show the traceback of an error; valid at any position.")
def nif(debug: bool) -> None:
    """Measure the information flow between the neurons of a trained network."""


for command in (demo, layers, measure, show, prune, compare, report, estimate):
    nif.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with 0, or with 2 after an error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in words
    show_everything()
    try:
        with _warnings_in_one_line(), _said_while_loading():
            # Not standalone: click then raises errors, and returns the exit code of --help.
            code = nif.main([word for word in words if word != DEBUG], prog_name="nif", standalone_mode=False)
    except click.Abort:
        click.echo("nif: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        click.echo(f"nif: {_sentence(error)}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _said_while_loading() -> Iterator[None]:
    """Name the wait where libraries take longer than two seconds to load, as on a machine that is busy."""

    def say() -> None:
        specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
        if any(getattr(spec, "_initializing", False) for spec in specs):
            click.echo("nif: loading PyTorch and other libraries, a few seconds", err=True)

    timer = threading.Timer(SECONDS_OF_LOADING, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _sentence(error: Exception) -> str:
    """The message of an error in one line."""
    from nif.core.errors import InputError

    if isinstance(error, click.ClickException):
        text = error.format_message()
        if isinstance(error, click.MissingParameter):  # what it is for, and what else there is
            about, command = getattr(error.param, "help", None), error.ctx and error.ctx.command_path
            text = " ".join(filter(None, [text, about, f"See {command} --help."]))
    elif isinstance(error, InputError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error} ({DEBUG} shows where)"
    return visible(" ".join(text.split()))


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show warnings of nif as a line on stderr; hide those of other libraries."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"nif: warning: {visible(' '.join(str(message).split()))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning, module=r"nif(\.|$)")
        warnings.showwarning = show
        yield
