"""The package run by Python."""

from __future__ import annotations

import subprocess
import sys


def test_python_runs_the_package_as_the_command() -> None:
    command = [sys.executable, "-m", "nif", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("nif")
