"""Where the generators of Python and NumPy stand: a step must not draw from them."""

from __future__ import annotations

import ctypes
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Source = Callable[[], Any]  # says where a generator stands

MT_WORDS = 624  # of a Mersenne twister; its position among them follows


def shared_sources() -> list[Source]:
    """What says where the global generators stand."""
    return [_python_state, _numpy_state] if "numpy.random" in sys.modules else [_python_state]


def source_of(value: Any) -> Source | None:
    """What says where a generator of the user's stands; None for any other object."""
    if isinstance(value, random.Random):
        return value.getstate
    if "numpy.random" not in sys.modules:
        return None
    if isinstance(value, np.random.RandomState):
        return lambda: _comparable(value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        value = value.bit_generator
    return (lambda: _comparable(value.state)) if isinstance(value, np.random.BitGenerator) else None


def _comparable(state: Any) -> Any:
    """The state of a generator of NumPy's without arrays, which are not equal or unequal as a whole."""
    if isinstance(state, dict):
        return [(key, _comparable(item)) for key, item in state.items()]
    return state.tobytes() if isinstance(state, np.ndarray) else state


class _Python:
    """Python's generator, which makes a tuple of all its numbers to describe itself: two are read in its memory.

    These are its position and the second of its numbers, as the first is the same after every seed.
    That is done where they are found in it, and where they are not the whole state is asked for.
    """

    def __init__(self) -> None:
        self._generator: Any = None
        self._words: Any = None  # its memory

    def __call__(self) -> Any:
        generator = random._inst  # type: ignore[attr-defined]
        if generator is not self._generator:
            self._generator, self._words = generator, _memory_of(generator)
        if self._words is None:
            _version, numbers, gauss = generator.getstate()
            return numbers[-1], numbers[1], gauss
        return self._words[0], self._words[2], generator.gauss_next


def _memory_of(generator: random.Random) -> Any:
    """The position and the numbers of a generator, if they lie behind the head of the object, else None."""
    place, size = object.__basicsize__, ctypes.sizeof(ctypes.c_uint32) * (MT_WORDS + 1)
    if sys.implementation.name != "cpython" or type(generator).__basicsize__ < place + size:
        return None
    words = (ctypes.c_uint32 * (MT_WORDS + 1)).from_address(id(generator) + place)
    _version, numbers, _gauss = generator.getstate()
    return words if (*words[1:], words[0]) == numbers else None


class _Numpy:
    """NumPy's generator, which takes long to describe itself: what is known is asked for in its memory.

    Only the second number of a pair of normal ones comes without a change there. So the whole state is asked for
    when there was one, and when the memory has changed.
    """

    def __init__(self) -> None:
        self._generator: Any = None
        self._words: Any = None  # its memory
        self._last: Any = None  # what the memory said when there was no number left of a pair

    def __call__(self) -> Any:
        generator = np.random.mtrand._rand._bit_generator  # type: ignore[attr-defined]
        if generator is not self._generator:
            self._generator, self._last = generator, None
            twister = type(generator) is np.random.MT19937
            place = generator.ctypes.state_address if twister else 0
            self._words = (ctypes.c_uint32 * (MT_WORDS + 1)).from_address(place) if twister else None
        if self._words is None:
            return _told()
        now = self._words[MT_WORDS], self._words[0]
        if now == self._last:
            return *now, 0, 0.0
        state = _told()
        self._last = None if state[2] else now
        return state


def _told() -> Any:
    """What NumPy says."""
    state: Any = np.random.get_state(legacy=False)
    numbers, left = state["state"], state["has_gauss"]
    gauss = state["gauss"] if left else 0.0
    if state["bit_generator"] == "MT19937":
        return numbers["pos"], int(numbers["key"][0]), left, gauss
    return repr(numbers), 0, left, gauss


_python_state, _numpy_state = _Python(), _Numpy()
