"""A trained model as units: its layers, how they connect, and their activations on data.

Nothing here changes the model.
"""

from nif.network.adapters import as_torch as as_torch
from nif.network.network import Network as Network
from nif.network.network import layers as layers
from nif.network.recording import record as record
