"""The search for what a step reads: names that turn up on its way are followed at once, and all of them are found."""

from __future__ import annotations

import types

import pytest
from much_code import STEPS, scene

from jitgrad.program.guard import search

CHAIN = "class Chain:\n" + "".join(
    f"    def f{k}(self, x): return {f'self.f{k + 1}(x)' if k < 99 else 'x * A[0]'}\n" for k in range(100)
)
SEARCHED = STEPS | {
    "chain of methods": f"{CHAIN}chain = Chain()\ndef step(x): return chain.f0(x)",
    "chain of properties": """
class Chain:
    @property
    def a(self): return self.b
    @property
    def b(self): return box.c
    def unused(self): return self.d
    @staticmethod
    def d(): return B[0]
class Box: pass
box = Box()
box.c, box.d = 1.0, [2.0]
chain = Chain()
def step(x): return x * chain.a
""",
    "computed names at the end of a chain": """
class Chain:
    def a(self): return self.b()
    def b(self): return vars(self)["c"]
chain = Chain()
chain.c, chain.d = 1.0, [2.0]
def step(x): return x * chain.a()
""",
}


def things_in(found):
    """What a search has found, in no order."""
    maps = {(id(mapping) if isinstance(mapping, dict) else 0, name) for mapping, name, _ in found.maps}
    watched = found.watched
    return (
        maps,
        {*map(id, (x for x, *_ in found.copies))},
        {(id(mapping), *sorted(names)) for mapping, names in found.absent},
        {*map(id, watched.functions)},
        {key: names for key, (_, names) in watched.classes.items()},
        {id(cell) for cell, _ in watched.cells},
        {id(x) for x in found.reached.values() if not isinstance(x, types.BuiltinFunctionType | tuple)},
        found.words,
        found.compares,
    )


@pytest.mark.parametrize("name", SEARCHED)
def test_names_that_turn_up_on_the_way_are_followed_at_once_and_nothing_else_is_found(name, monkeypatch):
    step = scene(SEARCHED[name])["step"]
    passes = []
    follow = search.Search.follow
    monkeypatch.setattr(
        search.Search, "follow", lambda self, *given: passes.append(0) or follow(self, *given)
    )
    at_once = search.search([step])
    few = len(passes)
    monkeypatch.setattr(search.Search, "look_for", lambda self, names: None)
    again = search.search([step])
    assert things_in(at_once) == things_in(again)
    assert few <= min(4, len(passes) - few)
    assert few < 5 < len(passes) or "chain of methods" not in name
