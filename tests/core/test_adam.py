"""Adam by the functional form of PyTorch."""

import subprocess
import sys

import pytest
import torch

from nif.core.adam import Adam


def steps_of(optimiser_of, move):
    """Three tensors after 20 steps; the last has no gradient."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator).requires_grad_() for shape in [(3, 4), (5,), (2,)]]
    optimiser = optimiser_of(tensors)
    for step in range(20):
        optimiser.zero_grad()
        (tensors[0].sin().sum() * tensors[1].square().sum()).backward()
        move(optimiser, 0.1 * (1 - step / 20))
    return tensors


def by_class(factors, betas):
    def optimiser_of(tensors):
        groups = [{"params": [tensor], "factor": f} for tensor, f in zip(tensors, factors, strict=True)]
        return torch.optim.Adam(groups, betas=betas)

    def move(optimiser, rate):
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        optimiser.step()

    return steps_of(optimiser_of, move)


def test_the_steps_are_those_of_the_class():
    ours = steps_of(Adam.of, Adam.step)
    assert all(map(torch.equal, ours, by_class((1.0, 1.0, 1.0), (0.9, 0.999))))


def test_each_tensor_has_its_own_rate():
    ours = steps_of(
        lambda tensors: Adam.of(tensors, (0.9, 0.99)),
        lambda adam, rate: adam.step([2 * rate, rate, 3 * rate]),
    )
    theirs = by_class((2.0, 1.0, 3.0), (0.9, 0.99))  # the third has no gradient, and is alone at its rate
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(ours[0], steps_of(lambda t: Adam.of(t, (0.9, 0.99)), Adam.step)[0])


@pytest.mark.slow
def test_training_a_classifier_does_not_load_the_compiler():
    code = (
        "import sys, torch; from nif.cli.experiment.classifier import classifier, train;"
        "train(classifier((2, 3, 2), seed=0), torch.randn(8, 2), torch.arange(8) % 2, epochs=1, seed=0);"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
