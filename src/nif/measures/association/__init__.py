"""Association: mutual information between units, less redundancy within a layer (eq. 1 to 3)."""
