"""What a recurrent layer's rows keep for one another, and where it lies.

A layer in one direction is two rows. `kernels.recurrent_input` multiplies the whole sequence by the input
weights and puts the hidden weights in order; `kernels.recurrent_layers` walks along the sequence. Both know one
block of memory, the *store*: the first makes it, the second fills it, and on the way back the first reads it
again, when all its products are over all steps at once. The store is cut into fields, whose places travel as
attribute words.

The products with the input lie in an array of their own, (rows, G). The walk adds the products with the state
there, and then leaves the gates in their place.
"""

from __future__ import annotations

from typing import NamedTuple

ALIGNED = 64  # elements between the beginnings of fields are a multiple of this
PITCH = 16  # elements between the rows of transposed weights are a multiple of this, which no vector exceeds

# attribute words: how the sequence lies
STEPS, BATCH, BY_BATCH, REVERSE = range(4)
# and where fields begin in the store, in elements; ABSENT for none
WEIGHTS = 4  # (P, G): the hidden weights, transposed, with rows of whole vectors
HIDDEN = 5  # (rows, P): the state h with which each step begins
CELL = 6  # (rows, H): LSTM: the cell with which each step begins. GRU: hidden part of the new state
TANH = 7  # (rows, H): LSTM: tanh of the cell with which each step ends
MADE = 8  # (rows, H): LSTM with projection: what is projected
PROJECTION = 9  # (H, P): the projection's weights, transposed likewise
# fields of the walk back
HIDDEN_COTANGENT = 10  # (rows, G): GRU: cotangent of the products with the hidden weights
OUT_COTANGENT = 11  # (rows, P): with projection: the whole cotangent of each output
STEP_HIDDEN = 12  # (batch, P): cotangent of h on its way
STEP_CELL = 13  # (batch, H): and of the cell
STEP_MADE = 14  # (batch, H): with projection: cotangent of what is projected
STEP_GATES = 15  # (batch, G): cotangent of one step's gates, when nobody wants all
WORDS = 16
ABSENT = -1


class Kind(NamedTuple):
    """A recurrent layer: its operation, the number of its gates, and the fields of (rows, H) that it keeps."""

    op: str
    gates: int
    fields: tuple[int, ...] = ()
    # whether the last gate's product with the state is not just added to that with the input
    apart: bool = False

    @property
    def has_cell(self) -> bool:
        """Whether its state has two parts."""
        return TANH in self.fields


LSTM = Kind("lstm", 4, (CELL, TANH))
GRU = Kind("gru", 3, (CELL,), apart=True)
RNN_TANH, RNN_RELU = Kind("rnn_tanh", 1), Kind("rnn_relu", 1)


def layout(
    kind: Kind,
    steps: int,
    batch: int,
    rows: int,
    sizes: tuple[int, int],
    by_batch: bool = False,
    reverse: bool = False,
    projected: bool = False,
) -> tuple[tuple[int, ...], int]:
    """The attribute words of a layer's rows, and the elements of its store.

    Parameters
    ----------
    steps, batch : int
        The longest sequence, and the number of sequences.
    rows : int
        Steps of all sequences together.
    sizes : pair of int
        Of the cell (H), and of the state h (P), which differ with a projection only.
    by_batch : bool
        Whether the steps of one sequence lie together, rather than the sequences of one step.
    """
    hidden, out = sizes
    gates = kind.gates * hidden
    cells = dict.fromkeys(kind.fields, rows * hidden)
    wanted = {
        WEIGHTS: out * -(-gates // PITCH) * PITCH,
        HIDDEN: rows * out,
        **cells,
        STEP_HIDDEN: batch * out,
        STEP_GATES: batch * gates,
    }
    if kind.has_cell:
        wanted[STEP_CELL] = batch * hidden
    if kind.apart:
        wanted[HIDDEN_COTANGENT] = rows * gates
    if projected:
        wanted |= {
            MADE: rows * hidden,
            PROJECTION: hidden * -(-out // PITCH) * PITCH,
            STEP_MADE: batch * hidden,
        }
        wanted[OUT_COTANGENT] = rows * out
    words = [ABSENT] * WORDS
    words[STEPS], words[BATCH], words[BY_BATCH], words[REVERSE] = steps, batch, by_batch, reverse
    end = 0
    for field, size in wanted.items():
        words[field] = end
        end += -(-size // ALIGNED) * ALIGNED
    return tuple(words), end
