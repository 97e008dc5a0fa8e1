"""A trained model's layers, how they connect, and their activations on data.

What is here does not change the model: `record` is the verb, `layers` says beforehand what it will record,
`as_torch` turns a scikit-learn network into an equal torch one.
"""

from nif.recording.activations import record as record
from nif.recording.sklearn_models import as_torch as as_torch
from nif.recording.table import layers as layers
