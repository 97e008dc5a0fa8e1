"""A training watched: when a network has found its features

Does a network know what it will use long before it is good? `nif.Watch` measures during training, without
changing it. The data are 569 tumours, each described by 30 numbers (breast cancer of Wisconsin, in
scikit-learn).
"""

# %%
# `watch.step(epoch)` measures every fourth epoch here; the training is otherwise as it was.
import nif
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

frame, y = load_breast_cancer(return_X_y=True, as_frame=True)
x = ((frame - frame.mean()) / frame.std()).astype("float32")
inputs, labels = torch.tensor(x.to_numpy()), torch.tensor(y.to_numpy())
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
optimiser = torch.optim.Adam(model.parameters(), lr=0.002)
watch = nif.Watch(model, x, every=4, class_names=["malignant", "benign"])
losses = []
for epoch in range(21):
    watch.step(epoch)
    with torch.no_grad():
        losses.append(float(nn.functional.cross_entropy(model(inputs), labels)))
    for rows in torch.randperm(len(inputs)).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimiser.step()

# %%
# **What flows.** The total is the information about the decision: near 0 before training, when the network
# decides nothing, at most ln 2 = 0.69 nats of two classes.
watch.plot()

# %%
# The features that matter in the end are found early: from which epoch on do the currents order all
# features nearly as at the end (rank correlation above 0.85)? And when was the training loss near its last
# value?
currents = pd.DataFrame({epoch: flow.shares()["share"] for epoch, flow in watch.flows.items()})
order = currents.corr(method="spearman")[20]
found = int((order > 0.85).idxmax())
learned = next(epoch for epoch, loss in enumerate(losses) if loss < 1.5 * losses[-1])
print(f"order of features as at the end: epoch {found}; loss at 1.5 times its last value: epoch {learned}")
print("rank correlation with the end:", order.round(2).to_dict())
print("totals in nats:", {epoch: round(flow.total.nats, 3) for epoch, flow in watch.flows.items()})
totals = [flow.total.nats for flow in watch.flows.values()]
assert totals[0] < 0.2 * totals[-1]
assert found < learned
