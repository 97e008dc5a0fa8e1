"""A transformer: which rows of an image it reads, and which heads it uses

A small transformer reads a digit of 8 x 8 pixels as a sequence of 8 rows. It is trained here in a few
seconds. Which rows does it use, and can a head of attention go?
"""

# %%
# The model is an ordinary module with `nn.MultiheadAttention`.
import nif
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 32), nn.Parameter(0.1 * torch.randn(8, 32))
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.inner, self.relu, self.outer = nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, rows):
        x = self.embed(rows) + self.place
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.outer(self.relu(self.inner(x)))
        return self.head(x.mean(dim=1))


data = nif.datasets.split(nif.datasets.load("digits"), seed=0)
x, y = torch.from_numpy(data.train.x).view(-1, 8, 8), torch.from_numpy(data.train.y)
others, answers = torch.from_numpy(data.test.x).view(-1, 8, 8), torch.from_numpy(data.test.y)
torch.manual_seed(0)
model = Reader()
optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
for _ in range(25):
    for rows in torch.randperm(len(x)).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()
print(f"accuracy on rows held out: {(model(others).argmax(1) == answers).float().mean():.3f}")

# %%
# The features are the rows of the image: `input_groups=` takes one number for each pixel.
groups = [row for row in range(8) for _ in range(8)]
flow = nif.measure(
    model,
    x,
    nif.Currents(rows=96, backgrounds=16, steps=8, by_class=False),
    input_groups=groups,
    progress=False,
)
shares = flow.shares()["share"]
print(flow.summary().splitlines()[0])
print(shares.round(3).to_dict())

# %%
# Eight rows would have an eighth each if all counted alike. The first two and the last, where digits look
# alike, have less than that, and less than each of the five rows between:
outer, middle = shares.iloc[[0, 1, 7]], shares.iloc[2:7]
assert outer.max() < min(1 / 8, middle.min())


# %%
# **Is that so?** A check without information theory: replace rows of the image by their mean over all
# images.
def accuracy_without(rows):
    replaced = others.clone()
    replaced[:, rows] = x[:, rows].mean(dim=0)
    return float((model(replaced).argmax(1) == answers).float().mean())


scores = {"rows 0, 1, 7": accuracy_without([0, 1, 7]), "rows 2, 3, 4": accuracy_without([2, 3, 4])}
print({name: f"{score:.1%}" for name, score in scores.items()})
assert scores["rows 0, 1, 7"] > scores["rows 2, 3, 4"] + 0.1

# %%
# **Heads.** The current of each head of attention, with its error:
heads = flow.heads()
print(heads.round(3))

# %%
# The head of the smallest current goes. What reads the others makes up for it in closed form, without
# training; both networks are scored on rows held out.
small = nif.prune(
    model, flow, x, y, remove=None, heads=0.25, rule="current", tolerance=None, held_out=(others, answers)
)
print(small.table().round(3))
weakest = heads["nats"].idxmin()[1]
assert small.removed["index"].tolist() == [weakest]
assert small.held_out[0] - small.held_out[1] < 0.05
