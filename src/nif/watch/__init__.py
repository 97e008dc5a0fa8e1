"""The information flow of a network while it is trained."""

from nif.watch.training import Watch as Watch
