"""The help of every command, where a page says ``{{ commands }}``."""

from __future__ import annotations

from typing import Any

import click

from nif.cli.main import nif

WHERE = "{{ commands }}"


def on_page_markdown(text: str, **_: Any) -> str:
    """Put the help in its place."""
    return text.replace(WHERE, "\n\n".join(_help())) if WHERE in text else text


def _help() -> list[str]:
    whole = click.Context(nif, info_name="nif")
    parts = []
    for name, command in nif.commands.items():
        told = command.get_help(click.Context(command, info_name=name, parent=whole, max_content_width=88))
        parts.append(f"## nif {name}\n\n```text\n{told}\n```")
    return parts
