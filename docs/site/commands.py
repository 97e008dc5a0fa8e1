"""Text that pages include: the help of every command, and CONTRIBUTING.md with the links of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli.main import nif

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def on_page_markdown(text: str, **_: Any) -> str:
    """Replace ``{{ commands }}`` and ``{{ contributing }}``."""
    if "{{ contributing }}" in text:
        text = text.replace("{{ contributing }}", CONTRIBUTING.read_text("utf-8").replace("](docs/", "]("))
    return text.replace("{{ commands }}", "\n\n".join(_help())) if "{{ commands }}" in text else text


def _help() -> list[str]:
    group = click.Context(nif, info_name="nif")
    parts = []
    for name, command in nif.commands.items():
        text = command.get_help(click.Context(command, info_name=name, parent=group, max_content_width=88))
        parts.append(f"## nif {name}\n\n```text\n{text}\n```")
    return parts
