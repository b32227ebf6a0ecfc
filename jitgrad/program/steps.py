"""What compiled functions and compiled methods have in common: many steps in one call."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._tensor import Tensor
from .replay.epochs import repeat, run_epochs

if TYPE_CHECKING:
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
