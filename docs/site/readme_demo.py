"""What the README shows of ``nif demo iris``, written by ``python docs/site/readme_demo.py``."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "```text demo\n", "```\n"

SHOWN: dict[str, tuple[int, ...] | None] = {
    "Network": None,
    "Currents": (2, 4),
    "Without neurons": None,
    "In short": None,
}
"""Sections of the demo by the beginning of their titles, and which of their paragraphs; None for all."""

TIMES = re.compile(r"\n *batch .* ms.*")


def excerpt(text: str) -> str:
    """The sections of the printed text that the README shows, without times.

    Example:
        >>> print(excerpt("NIF\\n\\nNetwork 4-2\\n  accuracy 1\\n\\nLinks\\n  many\\n\\nIn short\\n  x1\\n"))
        Network 4-2
          accuracy 1
        <BLANKLINE>
        In short
          x1
        <BLANKLINE>
    """
    shown = []
    for section in re.split(r"\n\n(?=\S)", f"\n\n{text.strip()}"):
        title = next((name for name in SHOWN if section.startswith(name)), None)
        if title is None:
            continue
        wanted, paragraphs = SHOWN[title], section.split("\n\n")
        first, rest = paragraphs[0].split("\n")[0], paragraphs
        shown.append(section if wanted is None else "\n\n".join([first, *(rest[place] for place in wanted)]))
    return TIMES.sub("", "\n\n".join(shown)) + "\n"


def block(readme: str) -> str:
    """The block of the README."""
    return readme.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Run the demo and write its excerpt into the README."""
    from nif.cli.experiment.run import EXPERIMENTS, run

    text = run(EXPERIMENTS["iris"], progress=False, echo=lambda _: None).text
    readme = README.read_text("utf-8")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}{excerpt(text)}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
