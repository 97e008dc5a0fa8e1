"""Categories: who survived the Titanic

2,201 people were on board, of whom the class of travel, sex and age group are known (Dawson 1995, *Journal of
Statistics Education* 3, 3). A network learns who survived. Which of the three does it use, and how sure is
that?

Each category becomes columns of 0 and 1. Such columns belong together: a person who is "half in second class"
does not exist, so they are measured as one feature, and changed all at once.
"""

# %%
# The data are a table of counts, so that nothing has to be downloaded.
import io

import nif
import numpy as np
import pandas as pd
from sklearn.neural_network import MLPClassifier

COUNTS = """
class,sex,age,died,survived
1st,male,adult,118,57
1st,male,child,0,5
1st,female,adult,4,140
1st,female,child,0,1
2nd,male,adult,154,14
2nd,male,child,0,11
2nd,female,adult,13,80
2nd,female,child,0,13
3rd,male,adult,387,75
3rd,male,child,35,13
3rd,female,adult,89,76
3rd,female,child,17,14
crew,male,adult,670,192
crew,female,adult,3,20
"""
people = pd.read_csv(io.StringIO(COUNTS)).melt(
    ["class", "sex", "age"], ["died", "survived"], var_name="fate", value_name="people"
)
people = people.loc[people.index.repeat(people["people"])].sample(frac=1, random_state=0)
x, y = pd.get_dummies(people[["class", "sex", "age"]]).astype(float), people["fate"]
model = MLPClassifier((16,), random_state=0, max_iter=300).fit(x, y)
print(len(x), "people,", f"accuracy {model.score(x, y):.3f}")
print(", ".join(x.columns))

# %%
# `input_groups="one-hot"` joins columns whose names begin alike. `path="orders"` moves one feature after
# another, in every order, so that each row on the way is a person who could exist; the currents are then
# Shapley values.
method = nif.Currents(path="orders", rows=100, backgrounds=16)
flow = nif.measure(model, x, method, input_groups="one-hot", progress=False)
print(flow.summary())
nif.plots.sankey(flow)

# %%
# The width of a ribbon is the information that flows there. Sex decides most, and class about a quarter as
# much. The interval of age reaches down to about 0: few of the hundred people that are explained here were
# children. More people, `rows=400`, narrow it.
shares = flow.importance()
assert list(shares.index) == ["sex", "class", "age"]
assert shares.loc["sex", "low"] > shares.loc["class", "high"]
print(shares[["share", "low", "high"]].round(3))

# %%
# **Is that so?** A check without information theory: shuffle one feature among the people, and count how
# many predictions change. The order is the same.
rng = np.random.default_rng(0)
changed = {}
for feature in ("class", "sex", "age"):
    columns, shuffled = [name for name in x if name.startswith(feature)], x.copy()
    shuffled[columns] = x[columns].to_numpy()[rng.permutation(len(x))]
    changed[feature] = float((model.predict(shuffled) != model.predict(x)).mean())
print({feature: f"{part:.1%}" for feature, part in changed.items()})
assert changed["sex"] > changed["class"] > changed["age"]
