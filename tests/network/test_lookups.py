"""Whole numbers of the inputs are followed to what looks them up, in whatever way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nif.network.lookups import Followed, Replaced

TABLE = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(20, 32).reshape(3, 4)


def shifted(ids: Tensor) -> Tensor:
    result = ids.new_zeros(ids.shape)
    result[:, 1:] = ids[:, :-1]
    return result.masked_fill_(result == -100, 1)


LOOKED_UP: dict[str, Callable[[Tensor], object]] = {
    "embedding": lambda ids: F.embedding(ids, TABLE),
    "torch.embedding": lambda ids: torch.embedding(TABLE, ids),
    "bag": lambda ids: F.embedding_bag(ids, TABLE),
    "index": lambda ids: TABLE[ids],
    "index_select": lambda ids: TABLE.index_select(0, ids[:, 1]),
    "view": lambda ids: F.embedding(ids.view(-1, 2), TABLE),
    "time first": lambda ids: F.embedding(ids.t().contiguous(), TABLE),
    "columns": lambda ids: [F.embedding(column, TABLE) for column in ids.unbind(1)],
    "slice": lambda ids: F.embedding(ids[:, 1:3].flip(1), TABLE),
    "offsets": lambda ids: F.embedding(ids + torch.tensor([0, 3, 1, 2]), TABLE),
    "clamp": lambda ids: F.embedding(ids.clamp(0, 30), TABLE),
    "first token": lambda ids: F.embedding(torch.cat([torch.ones_like(ids[:, :1]), ids], 1), TABLE),
    "pad": lambda ids: F.embedding(F.pad(ids, (2, 0), value=7), TABLE),
    "shift": lambda ids: F.embedding(shifted(ids), TABLE),
    "where": lambda ids: F.embedding(torch.where(ids > 22, ids, 0), TABLE),
    "gather": lambda ids: F.embedding(ids.gather(1, torch.tensor([[3, 0]] * 3)), TABLE),
    "cast": lambda ids: F.embedding(ids.int().repeat(1, 2), TABLE),
}


def followed(run: Callable[[Tensor], object], ids: Tensor) -> Followed:
    with Followed({0: ids}) as found:
        run(ids)
    return found


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_is_looked_up_changes_with_its_element_alone(name: str) -> None:
    run, ids = LOOKED_UP[name], IDS.clone()
    before = followed(run, ids).found
    assert before
    for element in range(ids.numel()):
        changed = ids.clone()
        changed.view(-1)[element] += 5
        after = followed(run, changed).found
        assert len(after) == len(before)
        for one, two in zip(before, after, strict=True):
            differ = (one.values != two.values).any(-1)
            assert not differ[one.elements != element + 1].any()
            if name not in ("where", "clamp"):  # these drop some numbers
                assert differ[one.elements == element + 1].all()


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_was_looked_up_can_be_replaced_by_that_of_other_ids(name: str) -> None:
    run, ids = LOOKED_UP[name], IDS.clone()
    other = ids.flip(0).clone()
    with Replaced({lookup.number: lookup.values for lookup in followed(run, other).found}):
        replaced = run(ids)
    expected = run(other)
    for one, two in zip(*(x if isinstance(x, list) else [x] for x in (replaced, expected)), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_what_acts_past_an_embedding_is_noted() -> None:
    def run(ids: Tensor, other: Tensor) -> Tensor:
        mask = (ids != 21).float()
        positions = (ids != 21).cumsum(1)
        return F.embedding(ids, TABLE) * mask[..., None] + TABLE[positions] + TABLE[other.sum(1, True)]

    ids, other = IDS.clone(), IDS.clone() // 10
    with Followed({0: ids, 3: other}) as found:
        run(ids, other)
    assert [lookup.input for lookup in found.found] == [0]
    assert [part.tolist() for part in found.elsewhere[0]] == [(IDS != 21).tolist()] * 2
    assert [part.tolist() for part in found.elsewhere[3]] == [[[8], [8], [10]]]


def test_shapes_are_not_noted() -> None:
    ids = IDS.clone()
    with Followed({0: ids}) as found:
        TABLE[torch.arange(ids.shape[1], device=ids.device)] + TABLE[torch.zeros_like(ids)] + ids.size(0)
    assert not found.found
    assert not found.elsewhere[0]


def test_bags_of_unequal_size_are_run_as_they_are() -> None:
    flat = IDS.flatten()
    found = followed(lambda ids: F.embedding_bag(ids, TABLE, torch.tensor([0, 5])), flat)
    assert not found.found
    assert len(found.elsewhere[0]) == 1
