"""Attribution by currents for captum: that of rows to explain, in the shape of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Attribution
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

import nif
from nif.comparison.captum import InformationFlow
from nif.core.errors import InputError
from support.networks import chain

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
FEW = nif.Currents(backgrounds=40, steps=2, paths=0)


class Masked(nn.Module):
    """Ids with a mask of their own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(8, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        kept = attention_mask[..., None].to(self.head.weight.dtype)
        return self.head((self.words(ids) * kept).sum(1))


class Two(nn.Module):
    """An image and a table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.table = nn.Conv2d(1, 2, 3), nn.Linear(3, 4)
        self.head = nn.Linear(12, 3)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        parts = torch.relu(self.image(image)).flatten(1), torch.relu(self.table(table))
        return self.head(torch.cat(parts, dim=1))


def test_it_is_that_of_rows_to_explain() -> None:
    model = chain(3, 6, 4, 3)
    method = InformationFlow(model, X, FEW)
    assert isinstance(method, Attribution) and method.has_convergence_delta()
    flow = nif.measure(model, X, FEW, explain=X[:5], progress=False)
    whole = method.attribute(X[:5])
    assert whole.shape == (5, 3) and whole.dtype == X.dtype
    np.testing.assert_allclose(whole.numpy(), flow.local().to_numpy(), atol=1e-7)
    assert flow.currents is not None and flow.currents.row_attribution is not None
    for target in range(3):
        of_class = method.attribute(X[:5], target=target)
        np.testing.assert_allclose(of_class, flow.currents.row_attribution[:, :, target], atol=1e-6)
    targets = [2, 0, 1, 1, 0]
    mixed = method.attribute(X[:5], target=torch.tensor(targets))
    for row, target in enumerate(targets):
        np.testing.assert_allclose(mixed[row], flow.currents.row_attribution[row, :, target], atol=1e-6)


def test_a_class_sums_to_its_own_term_of_the_information() -> None:
    model = chain(3, 6, 3).double()
    x = X.double()
    p = model(x).detach().softmax(1)
    for target in range(3):
        found, missed = InformationFlow(model, x, FEW).attribute(
            x[:4], target=target, return_convergence_delta=True
        )
        term = p[:4, target] * (p[:4, target] / p.mean(0)[target]).log()
        np.testing.assert_allclose(found.sum(1), term, atol=1e-6)
        np.testing.assert_allclose(missed, 0, atol=1e-6)


def test_any_of_many_classes_can_be_chosen() -> None:
    model = chain(3, 6, 40).double()
    p = model(X.double()).detach().softmax(1)
    method = InformationFlow(model, X.double(), FEW)
    for target in (39, 7):
        found = method.attribute(X[:3].double(), target=target)
        term = p[:3, target] * (p[:3, target] / p.mean(0)[target]).log()
        np.testing.assert_allclose(found.sum(1), term, atol=1e-6)


def test_rows_do_not_depend_on_one_another_where_all_backgrounds_are_taken() -> None:
    method = InformationFlow(chain(3, 6, 2), X, FEW)
    together = method.attribute(X[:6], target=0)
    for row in range(6):
        np.testing.assert_allclose(method.attribute(X[row : row + 1], target=0)[0], together[row], atol=1e-6)


def test_metrics_of_captum_accept_it() -> None:
    model = chain(3, 6, 2)
    method = InformationFlow(model, X, FEW)

    def perturbed(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.01 * torch.ones_like(inputs)
        return noise, inputs - noise

    found = method.attribute(X[:4], target=1)
    assert infidelity(model, perturbed, X[:4], found, target=1).shape == (4,)
    sensitivity = sensitivity_max(method.attribute, X[:4], target=1, n_perturb_samples=2)
    assert sensitivity.shape == (4,) and bool((sensitivity < 1).all())


def test_images_and_several_inputs_keep_their_shapes() -> None:
    model, generator = Two(), torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 1, 4, 4, generator=generator), torch.randn(30, 3, generator=generator)
    few = tuple(values[:2] for values in inputs)
    found, missed = InformationFlow(model, inputs, FEW).attribute(
        few, target=[2, 0], return_convergence_delta=True
    )
    assert [values.shape for values in found] == [values.shape for values in few]
    assert bool((missed.abs() < 1e-5).all()) and all(bool(values.any()) for values in found)
    flow = nif.measure(model, inputs, FEW, explain=few, progress=False)
    assert flow.currents is not None and flow.currents.row_attribution is not None
    joined = torch.cat([values.flatten(1) for values in found], 1)
    np.testing.assert_allclose(joined[0], flow.currents.row_attribution[0, :, 2], atol=1e-6)


def test_what_is_a_rows_own_has_no_attribution() -> None:
    model, ids = Masked(), torch.randint(0, 8, (30, 4), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    found, of_mask = InformationFlow(model, (ids, mask), FEW).attribute((ids[:2], mask[:2]))
    assert found.shape == (2, 4) and found.dtype == torch.float32 and bool(found.any())
    assert of_mask.shape == (2, 4) and not of_mask.any()
    alone = InformationFlow(nn.Sequential(model.words, nn.Flatten(), nn.Linear(16, 2)), ids, FEW)
    (only,) = alone.attribute((ids[:2],))
    assert only.shape == (2, 4)


def test_one_value_has_one_target() -> None:
    method = InformationFlow(chain(3, 6, 1), X, FEW)
    np.testing.assert_array_equal(method.attribute(X[:2], target=0), method.attribute(X[:2]))
    with pytest.raises(InputError, match="target is 1 and the model decides one value"):
        method.attribute(X[:2], target=1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, "There is no class 2; expected numbers of classes from 0 to 1"),
        (-1, "There is no class -1"),
        (0.5, "target is 0.5"),
        ([0, 1], "one for each of the 4 rows"),
    ],
)
def test_targets_that_are_not_there(target: Any, message: str) -> None:
    method = InformationFlow(chain(3, 5, 2), X, FEW)
    with pytest.raises(InputError, match=message):
        method.attribute(X[:4], target=target)


def test_association_has_no_single_rows() -> None:
    with pytest.raises(InputError, match="association is of whole data sets"):
        InformationFlow(chain(3, 5, 2), X, nif.Association())  # type: ignore[arg-type]


def test_model_inputs_and_random_state_are_left_as_they_were() -> None:
    model, x = chain(3, 5, 2).train(), X[:3].clone().requires_grad_()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    InformationFlow(model, X, FEW).attribute(x, target=1)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    assert x.grad is None and x.requires_grad and torch.equal(x, X[:3])
    assert all(parameter.grad is None for parameter in model.parameters())
