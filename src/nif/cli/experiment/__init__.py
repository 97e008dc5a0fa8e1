"""The experiment of the paper from end to end, on public data.

`run` trains a network, measures its information flow, prunes it, and compares attribution methods.
"""

from nif.cli.experiment.run import EXPERIMENTS as EXPERIMENTS
from nif.cli.experiment.run import Experiment as Experiment
from nif.cli.experiment.run import Run as Run
from nif.cli.experiment.run import run as run
