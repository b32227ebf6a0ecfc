"""What compiled functions and compiled methods have in common: many steps in one call. And the methods."""

from __future__ import annotations

import abc
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._tensor import Tensor
from .epochs import repeat, run_epochs

if TYPE_CHECKING:
    from .compiled import CompiledFunction
    from .program import Program


class Steps(abc.ABC):
    """What can be called step by step, or many steps at once in compiled code."""

    @abc.abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the program that fits the arguments, or run the function and record it."""

    @abc.abstractmethod
    def known(self, *args: Any) -> Program | None:
        """The program that may be replayed on these arguments now, if there is one."""

    @abc.abstractmethod
    def was_replayed(self) -> None:
        """Hear that recording is worth it: `loop` or `run` has found a program that fits."""

    def loop(self, n: int, *tensors: Tensor) -> Any:
        """Run the function `n` times on the same tensors, in compiled code.

        Parameters
        ----------
        n : int
            Number of steps, at least 1.
        *tensors : Tensor
            The function's arguments.

        Returns
        -------
        Tensor, or what else the function returns
            Each tensor with a first dimension of length `n`.
        """
        return repeat(self, n, list(tensors))

    def run(
        self,
        *tensors: Tensor,
        batch_size: int,
        epochs: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: Any = None,
        progress: bool | Callable[[int], Any] = False,
        callback: Callable[[int, Any], Any] | None = None,
        schedule: Any = None,
    ) -> Any:
        """Run the function on every batch of every epoch, in compiled code.

        Parameters
        ----------
        *tensors : Tensor
            With the samples along dimension 0, all of one length; a step gets one batch of each. They stay as
            they are: a step that writes into its batch writes into a copy. If one requires grad, batches are
            taken with their history and every step runs in Python, so that gradients reach the samples;
            ``detach()`` it if they need not.
        batch_size : int
            Samples of a batch. The last one of an epoch may be smaller.
        epochs : int
            How often to go through the samples.
        shuffle : bool
            Take the samples in a new random order in every epoch.
        drop_last : bool
            Leave out a last batch that is smaller.
        generator : Generator, optional
            Source of the orders; the default generator when left out.
        progress : bool or callable
            True shows a progress bar (needs tqdm); a callable hears now and then how many steps were done.
        callback : callable, optional
            ``callback(epoch, results)`` after every epoch, with that epoch's results; a true value ends the run.
        schedule : scheduler or callable, optional
            Its ``step()`` is called after every epoch; or it is called itself with the epoch's number.

        Returns
        -------
        Tensor, or what else the function returns
            Each tensor with the dimensions (epochs, steps) in front. A result with one row a sample, whose
            shape differs in a smaller last batch, has (epochs, samples) instead.
        """
        return run_epochs(
            self,
            list(tensors),
            batch_size,
            epochs,
            shuffle,
            drop_last,
            generator,
            progress,
            callback,
            schedule,
        )


class CompiledMethod(Steps):
    """A compiled method of an object: the compiled function with that object in front of the arguments."""

    def __init__(self, function: CompiledFunction, instance: Any) -> None:
        self._compiled = function
        self._function = types.MethodType(function, instance)
        self.__name__ = getattr(function, "__name__", "method")
        self.__doc__ = function.__doc__

    @property
    def __self__(self) -> Any:
        return self._function.__self__

    @property
    def __func__(self) -> CompiledFunction:
        return self._compiled

    @property
    def programs(self) -> list[Program]:
        """What has been recorded so far, for this object and others."""
        return self._compiled.programs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `CompiledFunction.__call__`."""
        return self._function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CompiledMethod) and self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __reduce__(self) -> tuple:
        return type(self), (self._compiled, self.__self__)

    def __repr__(self) -> str:
        return f"{self._compiled!r} of {self.__self__!r}"

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """See `CompiledFunction.program`."""
        return self._compiled.program(self.__self__, *args, **kwargs)

    def known(self, *args: Any) -> Program | None:
        """See `CompiledFunction.known`."""
        return self._compiled.known(self.__self__, *args)

    def was_replayed(self) -> None:
        """See `CompiledFunction.was_replayed`."""
        self._compiled.was_replayed()
