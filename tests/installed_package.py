"""Source of a package that tests install: code that keeps in many places what its results depend on."""

from __future__ import annotations

import functools
import itertools
import random
import threading
from typing import Any

import numpy as np

import jitgrad as torch
from jitgrad import nn

count = 0
factor = 1.0
CACHE: dict[str, int] = {}
CONFIG = {"scale": 1.0}
NUMBERS = itertools.count(1)
GENERATOR = np.random.default_rng(0)
OTHER_GENERATOR = random.Random(0)
local = threading.local()


class Settings:
    scale = 1.0


SETTINGS = Settings()


def counts_in_its_module(x):
    global count
    count += 1
    return x * count


def counts_in_a_dict(x):
    CACHE["calls"] = CACHE.get("calls", 0) + 1
    return x * CACHE["calls"]


def counts_in_itself(x):
    counts_in_itself.calls = getattr(counts_in_itself, "calls", 0) + 1
    return x * counts_in_itself.calls


def counts_in_a_thread(x):
    local.calls = getattr(local, "calls", 0) + 1
    return x * local.calls


def takes_a_number(x):
    return x * next(NUMBERS)


def draws(x):
    return x * float(GENERATOR.random())


def draws_otherwise(x):
    return x * OTHER_GENERATOR.random()


class Only:
    instance: Any = None
    calls = 0

    def __new__(cls):
        if cls.instance is None:
            cls.instance = super().__new__(cls)
        return cls.instance


def counts_in_a_singleton(x):
    only = Only()
    only.calls += 1
    return x * only.calls


class Within:
    depth = 0

    def __enter__(self):
        Within.depth += 1
        return self

    def __exit__(self, *failure):
        pass


def counts_in_a_with(x):
    with Within():
        return x * Within.depth


class Hits(dict):
    hits = 0

    def __getitem__(self, key):
        self.hits += 1
        return super().__getitem__(key) * self.hits


TABLE = Hits(scale=1.0)


def counts_in_a_mapping(x):
    return x * TABLE["scale"]


class CountsGradients(torch.autograd.Function):
    walks = 0

    @staticmethod
    def forward(ctx, x):
        return x * CONFIG["scale"]

    @staticmethod
    def backward(ctx, gradient):
        CountsGradients.walks += 1
        return gradient * CountsGradients.walks


def counts_in_a_function_of_autograd(x):
    x = x.detach().requires_grad_()
    CountsGradients.apply(x).sum().backward()
    return x.grad


class Counted(torch.distributions.Distribution):
    calls = 0

    def __init__(self, loc):
        super().__init__(validate_args=False)
        self.loc = loc

    def log_prob(self, value):
        Counted.calls += 1
        return -((value - self.loc) ** 2) * Counted.calls


def counts_in_a_distribution(x):
    return Counted(torch.zeros(1)).log_prob(x)


class Descriptor:
    def __init__(self):
        self.reads = 0

    def __get__(self, owner, kind=None):
        self.reads += 1
        return self.reads


class Described(nn.Module):
    number = Descriptor()

    def forward(self, x):
        return x * self.number


described = Described()


def counts_in_a_descriptor(x):
    return described(x)


class CountsInItsClass(nn.Module):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return x * type(self).calls


counting = CountsInItsClass()


def counts_in_a_class(x):
    return counting(x)


def reads_a_number(x):
    return x * factor


def reads_a_dict(x):
    return x * CONFIG["scale"]


def reads_an_object(x):
    return x * SETTINGS.scale


def reads_a_class(x):
    return x * Settings.scale


def reads_itself(x):
    return x * reads_itself.scale


reads_itself.scale = 1.0


class Kind(type):
    @property
    def scale(cls):
        return cls.kept["scale"]


class OfKind(metaclass=Kind):
    kept = CONFIG


def reads_a_class_of_its_kind(x):
    return x * OfKind.scale


@functools.lru_cache
def kept_scale(number):
    return CONFIG["scale"] * number


def reads_a_cache(x):
    return x * kept_scale(1)


class Reads(nn.Module):
    def forward(self, x):
        return self.inner(x) * reads_a_number(x)

    def inner(self, x):
        return x


reading = Reads()


def reads_in_a_module(x):
    return reading(x)


class Base:
    factor = 1.0

    def run(self, x):
        return self.inner(x) * self.factor

    def inner(self, x):
        return x
