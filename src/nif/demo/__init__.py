"""The experiment of the paper from end to end, on data that anyone can get.

`run` trains a network, measures its information flow, prunes it, and compares what explains it.
"""

from nif.demo.experiments import EXPERIMENTS as EXPERIMENTS
from nif.demo.experiments import Experiment as Experiment
from nif.demo.run import Run as Run
from nif.demo.run import run as run
