"""Currents: information that flows from the inputs to the decision, conserved on every cut, in nats."""
