"""What a compiled function may read values from, and how they are changed: the sources of test_compile_reads.py."""

from __future__ import annotations

import collections
import configparser
import contextlib
import contextvars
import importlib
import queue
from typing import ClassVar

import compile_values
import numpy as np

import jitgrad as torch
from jitgrad import nn, optim


class Holder:
    """Gives its value to whatever asks for it without a name."""

    def __init__(self):
        self.values = [1.0]
        self.count = 1

    def __getitem__(self, k):
        return self.values[k]

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return self.count

    def __contains__(self, x):
        return x in self.values

    def __enter__(self):
        return self.values[0]

    def __exit__(self, *_):
        pass

    def __float__(self):
        return self.values[0]

    def __mul__(self, x):
        return self.values[0] * x

    def __lt__(self, x):
        return self.values[0] < x

    def __bool__(self):
        return self.values[0] < 3

    def __getattr__(self, name):
        if name == "made_up":
            return self.__dict__["values"][0]
        raise KeyError(name)  # not what Python asks for


class Plain:
    scale = 1.0

    def __init__(self):
        self.alpha0 = 1.0

    def above(self):
        return super().__getattribute__("scale")


class Hidden:
    def __get__(self, instance, owner):
        return instance.under


class Described:
    shown = Hidden()

    def __init__(self):
        self.under = 1.0


class Kind(type):
    @property
    def shown(cls):
        return cls.under


class Derived(collections.UserList):
    def first(self):
        return self[0]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.values, self.alpha0 = [1.0], [1.0]

    def __getitem__(self, k):
        return self.values[k]

    def computed(self):
        return getattr(self, "alpha" + "".join(map(str, [0])))[0]


class Numbers(torch.utils.data.Dataset):
    def __init__(self):
        self.values = [1.0] * 8

    def __len__(self):
        return 8

    def __getitem__(self, k):
        return self.values[k]


class Table(collections.UserList):
    """Numbers that are somewhere else, where only its own code finds them, as if it were a library's."""

    __module__ = "collections"
    kept: ClassVar[dict] = {}

    def __array__(self, dtype=None, copy=None):
        return np.array(Table.kept[id(self)], dtype)


def table():
    made = Table()
    Table.kept[id(made)] = [1.0]
    return made


NUMBER = contextvars.ContextVar("NUMBER")
SCALE = {"NOW": 1.0}


class Made:
    def __init__(self):
        self.value = SCALE["NOW"]


def entered(x):
    with x as value:
        return value


def first_is(x, value):
    x.values[0] = value


def made_context():
    kept = [1.0]

    @contextlib.contextmanager
    def context():
        yield kept[0]

    return context, kept


def with_attribute():
    def function():
        return function.value

    function.value = 1.0
    return function


def config():
    made = configparser.ConfigParser()
    made.read_dict({"part": {"value": "1"}})
    return made


def kept_kind():
    return Kind("Kept", (), {"under": 1.0})


def schedule():
    model = nn.Linear(1, 1)
    return optim.lr_scheduler.StepLR(optim.SGD(model.parameters(), lr=1.0), 1, 0.5)


def go_on(scheduler, _):
    scheduler.optimizer.step()
    scheduler.step()


def of_queue():
    made = queue.Queue()
    for k in range(9):
        made.put(k + 1.0)
    return made


def plain_optimizer():
    made = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    made.alpha0 = 1.0
    return made


def with_decay():
    made = nn.Sequential(nn.Identity())
    made.weight, made.factors = nn.Parameter(torch.ones(1)), [1.0]
    made.register_buffer("kept", torch.ones(1))
    made.weight.decay = made.kept.decay = 1.0
    return made


def distance_of_two():
    kept = [1.0]
    made = nn.TripletMarginWithDistanceLoss(
        distance_function=lambda a, b: (a + b).sum(-1) * kept[0], margin=10.0
    )
    made.kept = kept
    return made


def compiled_with_scale():
    @torch.compile
    def function():
        return made.scale

    made = function
    made.scale = 1.0
    return made


def fresh_module():
    """Nothing, by which a step could find the module."""
    compile_values.NOW = 1.0


def imported(x):
    import compile_values

    return compile_values.NOW


def imported_name(x):
    from compile_values import NOW

    return NOW


def imported_by_name(x):
    return importlib.import_module("compile_values").NOW


def key_last(x):
    first = next(iter(x))
    x[first] = x.pop(first)


ONE = torch.ones(1)


def put(name):
    return lambda x, value: setattr(x, name, value)


def item(x, value):
    x[0] = value


def key(x, value):
    x["NOW"] = value


def nothing(x, value):
    pass
