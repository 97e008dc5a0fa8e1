"""The experiment of the paper from end to end, on data that anyone can get.

`run` trains a network, measures its information flow, prunes it, and compares what explains it.
"""

from nif.cli.experiment.run import EXPERIMENTS as EXPERIMENTS
from nif.cli.experiment.run import Experiment as Experiment
from nif.cli.experiment.run import Run as Run
from nif.cli.experiment.run import run as run
