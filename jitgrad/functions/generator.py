"""Random generators: where the state of the random numbers lives."""

from __future__ import annotations

import os
from array import array
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import CPU, check_device, int64, uint8
from ..dtypes import device as device_type
from ..kernels.draws import S_COUNTER, S_KEY, STATE_WORDS
from ..store import store
from ..ways_out import OUTSIDE
from .creation import make_empty
from .from_data import from_array

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

FIRST_SEED = 67280421310721  # PyTorch's seed of a new Generator
WORD_RANGE = 1 << 64


def _signed(word: int) -> int:
    return word - WORD_RANGE if word >= WORD_RANGE >> 1 else word


class Generator:
    """A source of random numbers.

    The state is a key (the seed) and a counter, in memory that kernels read and advance themselves. Equal
    seeds give equal numbers on every machine and with any number of threads. They are not PyTorch's numbers:
    the generator is Philox-4x32-10, PyTorch's on the CPU is the Mersenne twister.

    Parameters
    ----------
    device : str or device, default 'cpu'
    """

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self._seed = FIRST_SEED
        self._state: Tensor | None = None
        self._ids = array("q")

    @property
    def device(self) -> device_type:
        """Always the CPU."""
        return CPU

    def _words(self) -> np.ndarray:
        """The state's words; makes them at first use, so that importing makes no tensor."""
        if self._state is None:
            if store.recording_here is not None:
                store.recording_here.made.append(self)
            with store.outside_recording():
                state = make_empty((STATE_WORDS,), int64, zero=True)
                self._memory = state.numpy()
            self._ids = array("q", (state._slot,))
            self._memory[S_KEY] = _signed(self._seed)
            self._state = state
        return self._memory

    def state_tensor(self) -> Tensor:
        """The state as the tensor of int64 that random kernels take as an operand."""
        self._words()
        assert self._state is not None
        return self._state

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from a seed; negative ones count back from 2**64. Returns the generator.

        Raises
        ------
        RuntimeError
            If the seed does not fit into 64 bits.
        """
        seed = int(seed)
        if not -(WORD_RANGE >> 1) <= seed < WORD_RANGE:
            raise RuntimeError(
                f"manual_seed: Overflow when unpacking long: expected a seed in [-2**63, 2**64), got {seed}"
            )
        self._seed = seed % WORD_RANGE
        if store.recording is not None:
            store.recording.assigned("the state of a Generator")
        words = self._words()
        words[:] = 0
        words[S_KEY] = _signed(self._seed)
        return self

    def seed(self) -> int:
        """Start anew from a seed that the system makes up; returns it."""
        value = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        """The seed from which the generator started last."""
        if store.recording is not None:
            store.recording.read("initial_seed", OUTSIDE)
        return self._seed

    def get_state(self) -> Tensor:
        """A copy of the state, as bytes in a uint8 tensor."""
        if store.recording is not None:
            store.recording.read("get_state", OUTSIDE)
        words = np.array([self._words()[S_KEY], self._words()[S_COUNTER], _signed(self._seed)], np.int64)
        return from_array(words.view(np.uint8), uint8)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state that `get_state` returned.

        Raises
        ------
        TypeError
            If it is not such a tensor.
        """
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8 or new_state.numel() != 24:
            raise TypeError("set_state: expected the uint8 tensor of 24 bytes that get_state() returns")
        if store.recording is not None:
            store.recording.assigned("the state of a Generator")
        key, counter, first = new_state.contiguous().numpy().view(np.int64).tolist()  # type: ignore[attr-defined]
        words = self._words()
        words[:] = 0
        words[S_KEY], words[S_COUNTER] = key, counter
        self._seed = first % WORD_RANGE
        return self

    def __getstate__(self) -> dict:
        return {"state": self.get_state().numpy().tobytes()}

    def __setstate__(self, saved: dict) -> None:
        self.__init__()  # type: ignore[misc]
        self.set_state(from_array(np.frombuffer(saved["state"], np.uint8), uint8))

    def __repr__(self) -> str:
        return f"<Generator device={self.device.type} seed={self._seed}>"


default_generator = Generator()
default_generator._seed = int.from_bytes(os.urandom(8), "little")


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it. See `Generator.manual_seed`."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed from which the default generator started last."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """A copy of the default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)
