"""A compiled function with a rewrite and without it: the results are the same, bit for bit."""

from __future__ import annotations

import numpy as np

import jitgrad as torch


def with_and_without(option, function, *arguments):
    """The results, replayed on arguments that it was not recorded with, and the programs with and without."""
    made = []
    for options in ({}, {option: False}):
        one = torch.compile(function, fullgraph=True, options=options)
        one(*[torch.zeros_like(x) for x in arguments])
        program = one.program(*arguments)
        program.improve()
        made.append(([x.detach().numpy().copy() for x in one(*arguments)], program))
    (ours, program), (theirs, plain) = made
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, y)
    return ours, program, plain
