"""Adaptive bins on the ranks."""

from nif.estimators.binned.estimator import Binned as Binned
