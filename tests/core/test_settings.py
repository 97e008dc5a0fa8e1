"""Settings of the process that threads need at the same time."""

from __future__ import annotations

from contextlib import ExitStack

from nif.core.settings import Setting


def test_the_last_that_needs_a_setting_restores_it() -> None:
    known = {"dtype": "the user's"}
    setting = Setting(lambda: known["dtype"], lambda value: known.update(dtype=value), "ours")
    first, second = ExitStack(), ExitStack()
    first.enter_context(setting.needed())
    second.enter_context(setting.needed())
    assert known["dtype"] == "ours"
    first.close()
    assert known["dtype"] == "ours"
    second.close()
    assert known["dtype"] == "the user's"
