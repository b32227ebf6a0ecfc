"""Gradients of leaves, and the optimizer's step: every parameter of a group in one compiled call."""

from ..kernels.arguments import UNFIT, Handle
from .handles import release, retain
from .jit import entry, jit
from .layout import BAD_DTYPE, GRAD_READ, GRAD_SET, NEED_KERNEL
from .nests import map_nest, put_id, run
from .pointers import (
    float_word,
    load_word,
    store_word,
    word_float,
)
from .recording import count_up, note
from .tables import (
    slot_at,
    storage_at,
)
from .tape_rows import room

HYPER_ATTR = (1 << 15) + (1 << 13)  # words from the scratch record to the kernel's two attributes


@entry
def update(c, kernel, dtype, plan, count, states, hyper):
    """Apply an update rule to every parameter that has a gradient.

    Parameters
    ----------
    kernel : int
        Address of the rule's kernel.
    dtype : int
        Dtype code that the plan was made for.
    plan : int
        Address of the plan: per parameter its slot, the slot of its step count (float64), and the slots
        of its `states` state tensors. A step slot of 0 means that the state has not been made yet.
    hyper : int
        Address of the group's hyper-parameters, float64.

    Returns
    -------
    int
        Number of parameters that wait for their state (Python makes it and calls again), or a status.
    """
    status = room(c, 0)
    if status != 0:
        return status
    if kernel == 0:
        return NEED_KERNEL
    width = 2 + states
    waiting = 0
    for k in range(count):
        line = plan + k * width * 8
        parameter = slot_at(c, load_word(line, 0))
        note(c, GRAD_READ, load_word(line, 0))
        if parameter.grad == 0:
            continue
        if load_word(line, 1) == 0:
            waiting += 1
        elif not fits(c, line, states, dtype):
            return BAD_DTYPE
    if waiting > 0:
        return waiting
    for k in range(count):
        line = plan + k * width * 8
        if slot_at(c, load_word(line, 0)).grad != 0:
            update_one(c, kernel, line, states, hyper)
    return 0


@jit
def fits(c, line, states, dtype):
    """Whether parameter, gradient and states still have the dtype and size the plan was made for."""
    parameter = slot_at(c, load_word(line, 0))
    gradient = slot_at(c, parameter.grad)
    if parameter.dtype != dtype or gradient.dtype != dtype or gradient.numel != parameter.numel:
        return False
    for k in range(states):
        if slot_at(c, load_word(line, 2 + k)).numel != parameter.numel:
            return False
    return True


@jit
def update_one(c, kernel, line, states, hyper):
    """One parameter: count the step, then parameter and states are read and overwritten in one pass."""
    parameter = load_word(line, 0)
    step = slot_at(c, load_word(line, 1)).address
    store_word(step, 0, float_word(word_float(load_word(step, 0)) + 1.0))
    count_up(c, step)
    put_id(c, 0, parameter)
    put_id(c, 1 + states, parameter)
    put_id(c, 2 + states, slot_at(c, parameter).grad)
    for k in range(states):
        state = load_word(line, 2 + k)
        put_id(c, 1 + k, state)
        put_id(c, 3 + states + k, state)
        storage_at(c, slot_at(c, state).storage).version += 1
    store_word(c.scratch, HYPER_ATTR, hyper)
    store_word(c.scratch, HYPER_ATTR + 1, step)
    map_nest(c, kernel, 3 + 2 * states, c.scratch + HYPER_ATTR * 8, 2)
    run(c)
    storage_at(c, slot_at(c, parameter).storage).version += 1


@entry
def clear_grads(c, plan, count, width):
    """Set .grad of every parameter of a plan to None."""
    for k in range(count):
        parameter = slot_at(c, load_word(plan, k * width))
        note(c, GRAD_SET, load_word(plan, k * width))
        gradient = parameter.grad
        if gradient != 0:
            parameter.grad = 0
            release(c, gradient)
    return 0


@entry
def gradient(c, x: Handle) -> Handle:
    """The gradient that backward passes have accumulated in a leaf; UNFIT when there is none."""
    note(c, GRAD_READ, x)
    found = slot_at(c, x).grad
    return retain(c, found) if found != 0 else UNFIT
