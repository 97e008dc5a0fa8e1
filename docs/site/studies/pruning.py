"""A smaller network: digits with half of its neurons

A network that reads 1,797 handwritten digits of 8 x 8 pixels has more neurons than it needs. How many can go
without training it again, and is the choice better than the usual one, to remove neurons of small weights?
"""

# %%
# Three parts of the data have three tasks: training, choosing what goes, and an honest score at the end, on
# rows that neither has seen. For MNIST write `nif.datasets.load("mnist")`; the rest is the same.
import nif
import torch
from torch import nn

data = nif.datasets.split(nif.datasets.load("digits"), seed=0)
x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
others, answers = torch.from_numpy(data.test.x), torch.from_numpy(data.test.y)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimiser = torch.optim.Adam(model.parameters(), lr=0.002)
for _ in range(25):
    for rows in torch.randperm(800).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()

# %%
# Measure on the rows that training has not seen, and remove half of the neurons. What the neighbours of a
# removed neuron predict of it is folded into their weights; nothing is trained. `round_to=8` keeps widths
# at which processors are fast.
flow = nif.measure(model, x[800:], nif.Currents(by_class=False), progress=False)
options = {"remove": 0.5, "tolerance": None, "round_to": 8, "held_out": (others, answers), "progress": False}
small = nif.prune(model, flow, x[800:], y[800:], **options)
print(small.table().round(3))

# %%
# **Against the usual choice.** Neurons of small weights go first, and nothing makes up for
# them. The last number is for the same choice with what remains refitted, as NIF does it:
usual = nif.prune(model, flow, x[800:], y[800:], rule="magnitude", compensate=None, **options)
refitted = nif.prune(model, flow, x[800:], y[800:], rule="magnitude", **options)
scores = {"before": small.held_out[0], "NIF": small.held_out[1], "magnitude": usual.held_out[1]}
scores["magnitude, refitted"] = refitted.held_out[1]
print({name: f"{score:.1%}" for name, score in scores.items()})
assert scores["before"] - scores["NIF"] <= 0.02
assert scores["NIF"] - scores["magnitude"] >= 0.02

# %%
# Most of the difference is the refitting, and the choice the rest. **How far can one go?** The curve, on rows
# held out. `remove="most"` with a tolerance finds the end of the flat part.
import pandas as pd

options.pop("remove")
curve = []
for name, how in {"NIF": {}, "magnitude": {"rule": "magnitude", "compensate": None}}.items():
    for part in (0.3, 0.6, 0.8, 0.9):
        result = nif.prune(model, flow, x[800:], y[800:], remove=part, **how, **options)
        curve.append({"rule": name, "removed": part, "score": result.held_out[1]})
nif.plots.pruning(pd.DataFrame(curve), before=small.held_out[0])
print(pd.DataFrame(curve).pivot(index="removed", columns="rule", values="score").round(3))
