"""Every attribution that is compared, by the name its row carries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nif.comparison.davis2019 import davis2019
from nif.comparison.information_flow import information_flow
from nif.comparison.integrated_gradients import integrated_gradients
from nif.comparison.random_ranking import random_ranking
from nif.comparison.raw_mi import raw_mi
from nif.comparison.shapley import shapley
from nif.comparison.subject import Subject

Attribution = Callable[[Subject], np.ndarray]
"""Gives one number for each feature, not negative, larger for a feature that matters more."""

REFERENCE = "raw MI"
"""The attribution the others are held against."""

PUBLISHED = "NIF (DAVIS2019)"
"""The attribution as published: the one that takes long."""

ATTRIBUTIONS: dict[str, Attribution] = {
    REFERENCE: raw_mi,
    "NIF": information_flow,
    PUBLISHED: davis2019,
    "SHAP": shapley,
    "integrated gradients": integrated_gradients,
    "random ranking": random_ranking,
}
"""A new attribution is one file with a function of a `Subject`, and one entry here."""
