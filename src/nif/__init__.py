"""Neural Information Flow: how much information flows between the neurons of a trained network."""

from nif.version import __version__ as __version__
