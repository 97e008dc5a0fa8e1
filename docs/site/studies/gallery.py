"""Gallery: every picture with the code that made it

All pictures are of two networks: one names iris flowers by four measurements of them, the other reads
handwritten digits. Each function draws into `ax=` if it is given, and returns it. The studies have more.
"""

# %%
# ## Currents: what a network uses
#
# Two hidden layers, trained by scikit-learn, and measured:
import nif
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

iris = load_iris(as_frame=True)
x = (iris.data - iris.data.mean()) / iris.data.std()
x.columns = [name.removesuffix(" (cm)") for name in x.columns]
model = MLPClassifier((10, 6), max_iter=2000, random_state=0).fit(x, iris.target)
flow = nif.measure(model, x, class_names=iris.target_names, progress=False)

# %%
# **What flows where.** The widths are nats and add up at every neuron.
nif.plots.sankey(flow)

# %%
# Coloured by the class that it leads to, with nats in place of shares:
nif.plots.sankey(flow, by_class=True, nats=True)

# %%
# **The network.** What speaks against the decision is dashed.
flow.plot()

# %%
# **Features**, for all classes and for one, with 95 % intervals:
nif.plots.attribution(flow)
nif.plots.attribution(flow, label="virginica")

# %%
# **Layers.** The units of a layer are stacked; every layer carries the same total.
nif.plots.profile(flow)

# %%
# **Links** between two layers:
nif.plots.links(flow, "relu1", "relu2")

# %%
# ## Association: what neurons tell of each other
#
# The same network, measured as in the paper, with bins in place of critics:
known = nif.measure(model, x, nif.Binned(), class_names=iris.target_names, progress=False)
nif.plots.profile(known)
nif.plots.communities(known)

# %%
# **Known and used.** On the line, a unit is used for all that it tells of the decision; below, for less.
decision = nif.measure(model, x, nif.DecisionInformation(), class_names=iris.target_names, progress=False)
nif.plots.known_and_used(decision, flow)

# %%
# ## Beside other methods
table = nif.compare(
    model,
    flow,
    x,
    iris.target,
    methods=["currents", "SHAP", "integrated gradients"],
    repeats=5,
    progress=False,
)
nif.plots.attribution(flow, table)

# %%
# ## Images
#
# The attribution of pixels is a picture again. Which pixels speak for a 0, 3 and 7 (blue) and against it
# (red) in a network that reads digits:
import torch
from matplotlib import pyplot
from nif.cli.experiment.classifier import classifier, train

data = nif.datasets.split(nif.datasets.load("digits"), seed=0).train
digits = classifier((64, 24, 10), seed=0)
train(digits, torch.from_numpy(data.x), torch.from_numpy(data.y), epochs=15, seed=0)
of_pixels = nif.measure(digits, data.x, nif.Currents(rows=64, backgrounds=16), progress=False)
pixels = of_pixels.attribution()
most = abs(pixels.iloc[:, [0, 3, 7]]).to_numpy().max()
figure, axes = pyplot.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
for ax, digit in zip(axes, [0, 3, 7], strict=True):
    image = pixels.iloc[:, digit].to_numpy().reshape(8, 8)
    drawn = ax.imshow(image, cmap="RdBu", vmin=-most, vmax=most)
    ax.set(title=f"for a {digit}", xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, label="current (nats)", shrink=0.8)

# %%
# ## A page for the browser
#
# `flow.report("flow.html")` writes [a page like this](../reports/currents.html), which works offline.
