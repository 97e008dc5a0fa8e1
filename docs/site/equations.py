"""Equations without external scripts or fonts: LaTeX is converted to MathML when the site is built.

As a hook of mkdocs it converts the equations that arithmatex marked on a page; as an extension of griffe it
rewrites the ``.. math::`` and examples of docstrings as Markdown.
"""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any

from griffe import Extension, Object
from latex2mathml.converter import convert

MARKED = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n\1 +\S.*)*(?:\n\n?\1 +\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]*)`")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


def on_page_content(text: str, **_: Any) -> str:
    """Equations of a page as MathML."""
    return MARKED.sub(_mathml, text)


def _mathml(match: re.Match[str]) -> str:
    kind, latex = match[1], html.unescape(match[2]).strip()
    if kind == "span":
        return str(convert(latex, display="inline"))
    return f'<div class="equation" tabindex="0">{convert(latex, display="block")}</div>'


class Docstrings(Extension):
    """Docstrings as Markdown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the reStructuredText of a docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    r"""Write equations between dollar signs, and examples under the title that griffe expects.

    >>> as_markdown("One line.\n\n.. math:: a = b\n\nMore of :math:`a`.\n\nExample:\n    >>> 1")
    'One line.\n\n$$\na = b\n$$\n\nMore of $a$.\n\nExamples:\n    >>> 1'
    """
    blocks = BLOCK.sub(_block, docstring)
    return EXAMPLE.sub("Examples:", INLINE.sub(r"$\1$", blocks))


def _block(match: re.Match[str]) -> str:
    latex = " ".join(textwrap.dedent(match[2]).split())
    return "\n".join(match[1] + line for line in ("$$", latex, "$$"))
