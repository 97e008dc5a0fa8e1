"""The command `nif`.

Only click is imported here; each command imports what it needs when it runs, so that ``nif --help`` is quick.
"""

from nif.cli.main import main as main
