"""Equations without a script or a font from elsewhere: LaTeX becomes MathML when the site is built.

As a hook it turns what arithmatex found on a page into MathML; as an extension of griffe it turns the
``.. math::`` of docstrings, and their examples, into what the pages are written in.
"""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any

from griffe import Extension, Object
from latex2mathml.converter import convert

FOUND = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n\1 +\S.*)*(?:\n\n?\1 +\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]*)`")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


def on_page_content(text: str, **_: Any) -> str:
    """Equations of a page as MathML."""
    return FOUND.sub(_mathml, text)


def _mathml(found: re.Match[str]) -> str:
    kind, latex = found[1], html.unescape(found[2]).strip()
    if kind == "span":
        return str(convert(latex, display="inline"))
    return f'<div class="equation" tabindex="0">{convert(latex, display="block")}</div>'


class Docstrings(Extension):
    """Docstrings in the form that the pages have."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite what is reStructuredText."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    r"""Equations between dollars, examples under the title that griffe knows.

    >>> as_markdown("One line.\n\n.. math:: a = b\n\nMore of :math:`a`.\n\nExample:\n    >>> 1")
    'One line.\n\n$$\na = b\n$$\n\nMore of $a$.\n\nExamples:\n    >>> 1'
    """
    blocks = BLOCK.sub(_block, docstring)
    return EXAMPLE.sub("Examples:", INLINE.sub(r"$\1$", blocks))


def _block(found: re.Match[str]) -> str:
    latex = " ".join(textwrap.dedent(found[2]).split())
    return "\n".join(found[1] + line for line in ("$$", latex, "$$"))
