"""What a step reads from objects whose classes are written in C, and from classes made from numbers and arrays."""

from __future__ import annotations

import abc
import array
import collections
import contextvars
import copy
import ctypes
import enum
import functools
import operator
import threading

import numpy as np
import pytest
from compile_cases import readings, warnings_of

import jitgrad as torch

LATER = 3  # calls, with a change before each


class Pair:
    """A thing, and what reads from it."""

    def __init__(self, thing, read):
        self.thing, self.read = thing, read


class Plain:
    scale = 1.0

    def scaled(self):
        return self.alpha


def plain():
    made = Plain()
    made.alpha = 1.0
    return made


class Rate(float):
    def scaled(self):
        return self * FACTOR[0]


class Word(str):
    pass


class Kind(enum.IntEnum):
    ONE = 1

    def scaled(self):
        return FACTOR[0]


class Listed(enum.Enum):
    NUMBERS = [1.0]


class Numbers(np.ndarray):
    pass


class Items(array.array):
    pass


class Bytes(bytearray):
    pass


class Fields(ctypes.Structure):
    _fields_ = [("alpha", ctypes.c_double)]


class Setter:
    alpha = 1.0

    @property
    def doubled(self):
        return 0.0

    @doubled.setter
    def doubled(self, value):
        value.mul_(self.alpha)


class Positions:
    __match_args__ = ("alpha",)


class Upper:
    def scaled(self):
        return self.beta


class Lower(Upper):
    def scaled(self):
        return 0.0


class Private:
    __slots__ = ("__alpha",)

    def __init__(self):
        self.__alpha = 1.0

    def get(self):
        return self.__alpha

    def put(self, value):
        self.__alpha = value


class Shown:
    alpha = 1.0

    def __str__(self):
        return str(self.alpha)


class Copied:
    def __getstate__(self):
        return {"alpha": FACTOR[0]}


class Abstract(abc.ABC):  # noqa: B024
    pass


FACTOR = [1.0]
VARIABLE = contextvars.ContextVar("VARIABLE", default=1.0)


def alpha(x, v):
    x.thing.alpha = v


def beta(x, v):
    x.thing.beta = v


def first(x, v):
    x.thing[0] = v


def key(x, v):
    x.thing["NOW"] = v


def factor(x, v):
    FACTOR[0] = v


def of(make, reader):
    """A thing, and what is made of it before the step is compiled."""

    def pair():
        thing = make()
        return Pair(thing, reader(thing))

    return pair


def cached(**options):
    return of(lambda: functools.lru_cache(**options)(lambda: [FACTOR[0]]), lambda x: x())


def in_result(x, v):
    x.read[0] = v


def of_listed():
    Listed.NUMBERS.value[0] = 1.0
    return Pair(Listed.NUMBERS.value, Listed.NUMBERS)


def another_result(x, v):
    FACTOR[0] = v
    x.thing.cache_clear()


def with_attribute(kind, *args):
    def made():
        x = Pair(kind(*args) if kind is not Numbers else np.ones(2).view(Numbers), None)
        x.thing.alpha = 1.0
        return x

    return made


def by_keyword(x):
    match x.thing:
        case Plain(alpha=value):
            return value


def by_position(x):
    match x.thing:
        case Positions(value):
            return value


def through_setter(x):
    given = torch.ones(())
    x.thing.doubled = given
    return given


def other_member(x, v):
    x.thing.clear()
    x.thing.add(float(v) if v > 2 else True)


def below(x):
    made = Lower()
    made.beta = 1.0
    return Pair(made, super(Lower, made))


def own_of_thread():
    made = threading.local()
    made.alpha = 1.0
    return Pair(made, None)


ones = {"NOW": 1.0}.copy
CASES = {
    "get of a dict": (of(ones, lambda x: x.get), key, lambda x: x.read("NOW")),
    "special method of a list": (of(lambda: [1.0], lambda x: x.__getitem__), first, lambda x: x.read(0)),
    "special method of an array": (of(lambda: np.ones(1), lambda x: x.__getitem__), first, lambda x: float(x.read(0))),
    "method of an array": (of(lambda: np.ones(1), lambda x: x.sum), first, lambda x: float(x.read())),
    "method of a context variable": (of(lambda: VARIABLE, lambda x: x.get), lambda x, v: x.thing.set(v),
                                     lambda x: x.read()),
    "method of a list that changes it": (of(list, lambda x: x.append), lambda x, v: None,
                                         lambda x: (x.read(1), float(len(x.thing)))[1]),
    "values of a dict": (of(ones, lambda x: x.values()), key, lambda x: sum(x.read)),
    "items of a dict": (of(ones, lambda x: x.items()), key, lambda x: sum(v for _, v in x.read)),
    "keys of a dict": (of(dict, lambda x: x.keys()), lambda x, v: x.thing.update({v: 1}), lambda x: 1.0 + sum(x.read)),
    "attrgetter": (of(plain, lambda x: operator.attrgetter("alpha")), alpha, lambda x: x.read(x.thing)),
    "methodcaller": (of(plain, lambda x: operator.methodcaller("scaled")), alpha, lambda x: x.read(x.thing)),
    "getattr by another name": (of(plain, lambda x: (getattr, "alpha")), alpha,
                                lambda x: x.read[0](x.thing, x.read[1])),
    "partial of getattr": (of(plain, lambda x: functools.partial(getattr, x, "alpha")), alpha, lambda x: x.read()),
    "attribute of a partial": (of(lambda: functools.partial(float, 1), lambda x: None), alpha,
                               lambda x: getattr(x.thing, "alpha", 1.0)),
    "result in a cache": (cached(), in_result, lambda x: x.thing()[0]),
    "result in a cache without end": (cached(maxsize=None), in_result,
                                      lambda x: x.thing()[0]),
    "cache that is cleared": (cached(), another_result, lambda x: x.thing()[0]),
    "property": (of(lambda: None, lambda x: property(lambda self: FACTOR[0])), factor, lambda x: x.read.fget(x)),
    "static method": (of(lambda: None, lambda x: staticmethod(lambda: FACTOR[0])), factor, lambda x: x.read()),
    "setter": (of(Setter, lambda x: None), alpha, through_setter),
    "super": (lambda: below(None), beta, lambda x: x.read.scaled()),
    "attribute of a thread": (own_of_thread, alpha, lambda x: x.thing.alpha),
    "method of a number": (of(lambda: Rate(1.0), lambda x: None), factor, lambda x: x.thing.scaled()),
    "attribute of a number": (with_attribute(Rate, 1.0), alpha, lambda x: x.thing.alpha),
    "number like another": (lambda: Pair(Word("a"), None), lambda x, v: (setattr(x, "thing", Word("a")), alpha(x, v)),
                            lambda x: getattr(x.thing, "alpha", 1.0)),
    "attribute of a string": (with_attribute(Word, "a"), alpha, lambda x: x.thing.alpha),
    "method of an enumeration": (of(lambda: Kind.ONE, lambda x: None), factor, lambda x: x.thing.scaled()),
    "value in an enumeration": (of_listed, first, lambda x: x.read.value[0]),
    "attribute of an array": (with_attribute(Numbers), alpha, lambda x: x.thing.alpha),
    "items of a class made from array's": (of(lambda: Items("d", [1.0]), lambda x: None), first, lambda x: x.thing[0]),
    "attribute of bytes": (with_attribute(Bytes, b"1"), alpha, lambda x: x.thing.alpha),
    "field of a structure": (of(lambda: Fields(1.0), lambda x: None), alpha, lambda x: x.thing.alpha),
    "field of an array's item": (of(lambda: np.ones(1, [("NOW", "f8")])[0], lambda x: None), key,
                                 lambda x: float(x.thing["NOW"])),
    "kind of a member": (of(lambda: {1}, lambda x: None), other_member,
                         lambda x: {int: 1.0, bool: 2.0}.get(type(next(iter(x.thing))), sum(x.thing))),
    "first attribute of a function": (of(lambda: lambda: None, lambda x: None), alpha,
                                      lambda x: getattr(x.thing, "alpha", 1.0)),
    "pattern with keywords": (of(plain, lambda x: None), alpha, by_keyword),
    "pattern with positions": (with_attribute(Positions), alpha, by_position),
    "slot with two underscores": (of(Private, lambda x: None), lambda x, v: x.thing.put(v), lambda x: x.thing.get()),
    "string of an object": (of(Shown, lambda x: None), alpha, lambda x: float(str(x.thing))),
    "string of an object in a string": (of(Shown, lambda x: None), alpha, lambda x: float(f"{x.thing}")),
    "string of an object in another": (of(Shown, lambda x: None), alpha, lambda x: float("%s" % x.thing)),  # noqa: UP031
    "state of an object that is copied": (of(Copied, lambda x: None), factor, lambda x: copy.copy(x.thing).alpha),
    "format": (of(plain, lambda x: None), alpha, lambda x: float("{.thing.alpha}".format(x))),  # noqa: UP032
    "method by a computed name": (of(plain, lambda x: ["scaled"]), alpha, lambda x: getattr(x.thing, x.read[0])()),
    "attribute of a class by a computed name": (of(lambda: type("P", (Plain,), {"alpha": 1.0}), lambda x: ["alpha"]),
                                                alpha, lambda x: getattr(x.thing, x.read[0])),
    "one of many objects": (lambda: Pair(m := [functools.partial(float) for _ in range(1500)], m[0]),
                            lambda x, v: setattr(x.read, "alpha", v),
                            lambda x: sum(getattr(y, "alpha", 1.0) for y in x.thing)),
    "one of many of others' objects": (lambda: Pair(m := [collections.UserList([1.0]) for _ in range(1500)], m[0]),
                                       lambda x, v: x.read.append(v), lambda x: sum(map(sum, x.thing))),
}  # fmt: skip


def results(make, change, read, compiled):
    FACTOR[0] = 1.0
    VARIABLE.set(1.0)
    return readings(make, change, read, compiled, LATER)


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_changes_is_read_anew(name):
    expected = results(*CASES[name], compiled=False)
    found, _ = warnings_of(lambda: results(*CASES[name], compiled=True))
    assert found == expected
    assert len(set(expected)) > 1, "the case shows nothing"


def test_what_is_read_anew_is_so_after_a_partial_function_was_compiled():
    torch.compile(functools.partial(lambda a, x: x * a, 3.0))
    case = CASES["result in a cache"]
    assert results(*case, compiled=True) == results(*case, compiled=False)


STAYS = [
    "get of a dict",
    "values of a dict",
    "attrgetter",
    "result in a cache",
    "method of an enumeration",
    "super",
]


@pytest.mark.parametrize("name", STAYS)
def test_a_value_that_stays_is_replayed(name):
    make, _, read = CASES[name]
    source = make()
    step = torch.compile(lambda x: x * read(source), fullgraph=True)
    for _ in range(4):
        step(torch.ones(1))
    assert len(step.programs) == 1


def test_a_cached_function_that_is_called_first_by_the_step_is_replayed_after_that():
    kept = functools.lru_cache(lambda: 2.0)
    step = torch.compile(lambda x: x * kept())
    assert [step(torch.ones(1)).item() for _ in range(4)] == [2.0] * 4
    assert len(step.programs) == 1


def test_each_thread_reads_its_own_values():
    own = threading.local()
    step = torch.compile(lambda x: x * own.alpha)
    found = []

    def work(value):
        own.alpha = value
        found.extend(step(torch.ones(1)).item() for _ in range(3))

    for value in (1.0, 2.0):
        thread = threading.Thread(target=work, args=(value,))
        thread.start()
        thread.join()
    assert found == [1.0] * 3 + [2.0] * 3


def test_registering_a_class_changes_what_isinstance_says():
    made = plain()
    step = torch.compile(lambda x: x * (2.0 if isinstance(made, Abstract) else 3.0))
    assert [step(torch.ones(1)).item() for _ in range(3)] == [3.0] * 3
    Abstract.register(Plain)
    assert step(torch.ones(1)).item() == 2.0


def test_arguments_made_from_numbers_are_looked_into():
    rate = Rate(2.0)
    rate.alpha = 1.0
    step = torch.compile(lambda x, by: x * by * by.alpha)
    assert [step(torch.ones(1), rate).item() for _ in range(3)] == [2.0] * 3
    rate.alpha = 5.0
    assert step(torch.ones(1), rate).item() == 10.0
    other = Rate(2.0)
    other.alpha = 7.0
    assert step(torch.ones(1), other).item() == 14.0


def test_numbers_of_numpy_are_arguments_by_value():
    step = torch.compile(lambda x, by: x * float(by), fullgraph=True)
    for by in (np.float32(2.0), np.float32(2.0), np.int64(2), np.int64(2), np.float32(2.0)):
        assert step(torch.ones(1), by).item() == 2.0
    assert len(step.programs) == 2
