"""Checks the annotations of every function of nif while the tests run, shapes included."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int is taken where a float is announced, as type checkers do."""
