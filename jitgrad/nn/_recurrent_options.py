"""What a recurrent network may be asked for."""

from __future__ import annotations

import numbers

from jitgrad.kernels.recurrent_layout import GRU, LSTM, RNN_RELU, RNN_TANH, Kind
from jitgrad.user_frames import warn

KINDS: dict[str, Kind] = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN_TANH, "RNN_RELU": RNN_RELU}


def check_options(
    name: str,
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    proj_size: int,
) -> None:
    """Refuse options that are out of range or of the wrong type, in the name of the class `name`."""
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1:
        raise ValueError(
            f"{name}: dropout should be a number in range [0, 1] representing the probability of an "
            f"element being zeroed, got {dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}"
        )
    for option, value, kind in (
        ("bias", bias, bool),
        ("batch_first", batch_first, bool),
        ("input_size", input_size, int),
        ("hidden_size", hidden_size, int),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"{name}: {option} should be of type {kind.__name__}, got: {type(value).__name__}"
            )
    for option, value in (
        ("input_size", input_size),
        ("hidden_size", hidden_size),
        ("num_layers", num_layers),
    ):
        if value <= 0:
            raise ValueError(f"{name}: {option} must be greater than zero, got {value}")
    if proj_size < 0:
        raise ValueError(
            f"{name}: proj_size should be a positive integer or zero to disable projections, got {proj_size}"
        )
    if proj_size >= hidden_size:
        raise ValueError(
            f"{name}: proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}"
        )
    if mode not in KINDS:
        raise ValueError(f"Unrecognized RNN mode: {mode}; expected one of {', '.join(KINDS)}")
