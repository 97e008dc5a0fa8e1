"""Figures for papers: each takes ``ax=``, draws there, and returns it.

matplotlib is imported when one is drawn, not before.
"""

from nif.plots.attribution_bars import attribution as attribution
from nif.plots.community_bands import communities as communities
from nif.plots.layer_profile import profile as profile
from nif.plots.link_map import links as links
from nif.plots.network_graph import network as network
from nif.plots.pruning_curve import pruning as pruning
from nif.plots.sankey import sankey as sankey
from nif.plots.unit_scatter import known_and_used as known_and_used
