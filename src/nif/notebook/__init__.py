"""How results show in notebooks: Jupyter, marimo and whatever else asks for ``_repr_html_``."""
