"""The measured flow of a network: its layers, its links, and all that is read from them."""

from nif.flow.flow import Flow as Flow
from nif.flow.measurement import Measurement as Measurement
