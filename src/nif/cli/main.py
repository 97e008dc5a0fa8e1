"""Commands, and how their errors are shown: one line on stderr, exit code 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from nif.cli.demo import demo
from nif.cli.estimate import estimate
from nif.cli.layers import layers
from nif.cli.measure import measure
from nif.cli.prune import prune
from nif.cli.report import report
from nif.core import __version__

DEBUG = "--debug"


INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nif")
@click.option(DEBUG, is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def nif(debug: bool) -> None:
    """Neural Information Flow: how much information flows between the neurons of a trained network."""


for command in (demo, layers, measure, prune, report, estimate):
    nif.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0, or 2 after an error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in given
    try:
        with _warnings_in_one_line():
            # Not standalone: click then leaves errors to us, and returns the code that --help asks for.
            code = nif.main([each for each in given if each != DEBUG], prog_name="nif", standalone_mode=False)
    except click.Abort:
        click.echo("nif: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        click.echo(f"nif: {_sentence(error)}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: Exception) -> str:
    """What went wrong, in one line."""
    from nif.core.errors import InputError

    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, InputError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error} ({DEBUG} shows where)"
    return " ".join(text.split())


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Our own warnings as a line on stderr; those of the libraries we call are not the user's."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"nif: warning: {' '.join(str(message).split())}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning, module=r"nif(\.|$)")
        warnings.showwarning = show
        yield
