"""Ways to weigh the links of a network in nats."""
