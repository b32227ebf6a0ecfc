"""Containers whose classes have code of their own: a step that reads them is recorded without running that code."""

from __future__ import annotations

import collections

import pytest

import jitgrad as torch


class Made(collections.OrderedDict):
    """A table that makes what it is asked for, as registries of classes do."""

    def __getitem__(self, key):
        raise RuntimeError("made an entry")

    def values(self):
        raise RuntimeError("made all entries")

    def __len__(self):
        raise RuntimeError("counted")

    def scale(self):
        return super().__getitem__("scale")


class Walked(list):
    def __iter__(self):
        raise RuntimeError("walked")

    def scale(self):
        return super().__getitem__(0)


@pytest.mark.parametrize(("kind", "first", "key"), [(Made, {"scale": 1.0}, "scale"), (Walked, [1.0], 0)])
def test_containers_of_classes_with_code_of_their_own_are_read_past_it(kind, first, key):
    table, found = kind(first), []
    write = kind.__mro__[1].__setitem__
    step = torch.compile(lambda x: x * table.scale(), fullgraph=True)
    for value in (1.0, 1.0, 2.0, 1.0):
        write(table, key, value)
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 1.0]


def test_the_order_of_an_ordered_dict_of_ones_own_class_counts():
    table = Made(a=1.0, b=2.0)
    step = torch.compile(lambda x: x * next(iter(table.items()))[1], fullgraph=True)
    first = step(torch.ones(1)).item()
    collections.OrderedDict.move_to_end(table, "a")
    assert (first, step(torch.ones(1)).item()) == (1.0, 2.0)
