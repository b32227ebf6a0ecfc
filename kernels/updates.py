"""Optimizer updates: how each optimizer moves one element of a parameter.

An update is a function ``update(h, step)`` that returns ``each(p, g, *state)``. The outer part runs once per
parameter, in float64: `h` holds the hyper-parameters by name and `step` the number of this step (1, 2, ...),
both read from memory when the kernel runs, so a recorded program follows a changed learning rate. ``each``
runs on every element, in the parameter's dtype, and returns the new parameter followed by the new state;
scalars of the outer part are rounded to that dtype where they meet an element, as in PyTorch.

Every optimizer takes ``h.sign`` (-1 to maximize), and all but Rprop take ``h.weight_decay``. The rules are
those of the papers named below in the order of operations of PyTorch's single-tensor implementations, with two
differences: dividing by a quantity that is the same for all elements is multiplying by its inverse, taken in
float64, and a product that meets a sum is rounded with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .formula import absolute, fma, inverse, like, maximum, minimum, nth_power, power, root, sqrt, where
from .update_table import update

Each = Callable[..., Any]

_COMMON = ("lr", "weight_decay", "sign")
_SGD = (*_COMMON, "momentum", "dampening")
_ADAM = (*_COMMON, "beta1", "beta2", "eps")
_NADAM = (*_ADAM, "momentum_decay")
_RMSPROP = (*_COMMON, "alpha", "eps", "momentum")
_MOMENTS = ("exp_avg", "exp_avg_sq")


# what `as_it_is` of a rule's hyper-parameters promises: the gradient is followed as it is
AS_IT_IS = {"sign": 1.0, "weight_decay": 0.0}


def _descent(h: Any, p: Any, g: Any) -> Any:
    """The gradient to follow downhill: its sign for maximizing, and L2 weight decay."""
    if getattr(h, "as_it_is", False):
        return g
    g = h.sign * g
    # a decay of zero must not touch an infinite parameter: 0 * inf is nan
    return where(h.weight_decay != 0.0, fma(h.weight_decay, p, g), g)


def _decayed(h: Any, p: Any, g: Any, decoupled: bool) -> tuple[Any, Any]:
    """Parameter and gradient after weight decay: of L2, or decoupled (Loshchilov and Hutter 2019)."""
    if decoupled and not getattr(h, "as_it_is", False):
        return p * (1.0 - h.lr * h.weight_decay), h.sign * g
    return p, _descent(h, p, g)


def _averaging(decay: Any) -> Each:
    """``average(old, x) = decay * old + (1 - decay) * x``."""
    weight = 1.0 - decay

    def average(old: Any, x: Any) -> Any:
        return fma(decay, old, weight * x)

    return average


def _averaging_squares(decay: Any) -> Each:
    """``average(old, x) = decay * old + (1 - decay) * x**2``."""
    weight = 1.0 - decay

    def average(old: Any, x: Any) -> Any:
        return fma(weight * x, x, decay * old)

    return average


# stochastic gradient descent --------------------------------------------------------------------------


@update(state=(), hyper=_SGD)
def sgd(h: Any, step: Any) -> Each:
    """Gradient descent."""

    def each(p: Any, g: Any) -> Any:
        return fma(-h.lr, _descent(h, p, g), p)

    return each


def _sgd_momentum(h: Any, step: Any, nesterov: bool) -> Each:
    keep = 1.0 - h.dampening

    def each(p: Any, g: Any, buffer: Any) -> Any:
        g = _descent(h, p, g)
        # the first step starts the buffer with the gradient itself, undamped
        buffer = where(step == 1.0, g, fma(h.momentum, buffer, keep * g))
        direction = fma(h.momentum, buffer, g) if nesterov else buffer
        return fma(-h.lr, direction, p), buffer

    return each


@update(state=("momentum_buffer",), hyper=_SGD)
def sgd_momentum(h: Any, step: Any) -> Each:
    """Gradient descent with momentum (Sutskever et al. 2013, PyTorch's form: lr outside the buffer)."""
    return _sgd_momentum(h, step, nesterov=False)


@update(state=("momentum_buffer",), hyper=_SGD)
def sgd_nesterov(h: Any, step: Any) -> Each:
    """Gradient descent with Nesterov's momentum."""
    return _sgd_momentum(h, step, nesterov=True)


@update(state=("ax", "eta", "mu"), hyper=(*_COMMON, "lambd", "alpha", "t0"))
def asgd(h: Any, step: Any) -> Each:
    """Gradient descent with an average of its points (Polyak and Juditsky 1992)."""
    following = h.lr / power(1.0 + h.lambd * h.lr * step, h.alpha)
    following_weight = 1.0 / maximum(1.0, step - h.t0)

    def each(p: Any, g: Any, average: Any, eta: Any, mu: Any) -> Any:
        # rate and weight of a step are made in the step before it, each one number for all elements: kept
        # with every element so that elements stay independent
        eta = where(step == 1.0, h.lr, eta)
        mu = where(step == 1.0, 1.0, mu)
        g = _descent(h, p, g)
        p = fma(-eta, g, p * (1.0 - h.lambd * eta))
        average = where(mu == 1.0, p, fma(p - average, mu, average))
        return p, average, like(p, following), like(p, following_weight)

    return each


# by the signs of gradients ----------------------------------------------------------------------------


@update(state=("prev", "step_size"), hyper=("lr", "sign", "eta_minus", "eta_plus", "smallest", "largest"))
def rprop(h: Any, step: Any) -> Each:
    """Rprop (Riedmiller and Braun 1993), without taking steps back."""

    def each(p: Any, g: Any, previous: Any, size: Any) -> Any:
        g = h.sign * g
        agreement = g * previous
        turned = agreement < 0.0
        factor = where(agreement > 0.0, h.eta_plus, where(turned, h.eta_minus, 1.0))
        size = where(step == 1.0, h.lr, size)
        size = minimum(maximum(factor * size, h.smallest), h.largest)
        g = where(turned, 0.0, g)
        move = where(g > 0.0, size, where(g < 0.0, -size, 0.0))
        return p - move, g, size

    return each


# Adam and its kin -------------------------------------------------------------------------------------


def _adam(h: Any, step: Any, decoupled: bool, amsgrad: bool) -> Each:
    step_size = h.lr / (1.0 - nth_power(h.beta1, step))
    # sqrt(v / (1 - beta2^t)) is sqrt(v) times a scalar
    unbias = 1.0 / sqrt(1.0 - nth_power(h.beta2, step))
    average, average_square = _averaging(h.beta1), _averaging_squares(h.beta2)

    def each(p: Any, g: Any, m: Any, v: Any, *largest: Any) -> Any:
        p, g = _decayed(h, p, g, decoupled)
        m = average(m, g)
        v = average_square(v, g)
        if amsgrad:
            largest = (maximum(largest[0], v),)
        denominator = fma(root(largest[0] if amsgrad else v), unbias, h.eps)
        return fma(-(step_size * m), inverse(denominator), p), m, v, *largest

    return each


@update(state=_MOMENTS, hyper=_ADAM)
def adam(h: Any, step: Any) -> Each:
    """Adam (Kingma and Ba 2015), algorithm 1."""
    return _adam(h, step, decoupled=False, amsgrad=False)


@update(state=(*_MOMENTS, "max_exp_avg_sq"), hyper=_ADAM)
def adam_amsgrad(h: Any, step: Any) -> Each:
    """Adam with the largest second moment so far (Reddi et al. 2018)."""
    return _adam(h, step, decoupled=False, amsgrad=True)


@update(state=_MOMENTS, hyper=_ADAM)
def adamw(h: Any, step: Any) -> Each:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), algorithm 2."""
    return _adam(h, step, decoupled=True, amsgrad=False)


@update(state=(*_MOMENTS, "max_exp_avg_sq"), hyper=_ADAM)
def adamw_amsgrad(h: Any, step: Any) -> Each:
    """AdamW with the largest second moment so far."""
    return _adam(h, step, decoupled=True, amsgrad=True)


@update(state=("exp_avg", "exp_inf"), hyper=_ADAM)
def adamax(h: Any, step: Any) -> Each:
    """Adam with the infinity norm (Kingma and Ba 2015), algorithm 2."""
    step_size = h.lr / (1.0 - nth_power(h.beta1, step))
    average = _averaging(h.beta1)

    def each(p: Any, g: Any, m: Any, u: Any) -> Any:
        g = _descent(h, p, g)
        m = average(m, g)
        u = maximum(h.beta2 * u, absolute(g) + h.eps)
        return p - step_size * m / u, m, u

    return each


def _nadam(h: Any, step: Any, decoupled: bool) -> Each:
    now = h.beta1 * (1.0 - 0.5 * power(0.96, step * h.momentum_decay))
    following = h.beta1 * (1.0 - 0.5 * power(0.96, (step + 1.0) * h.momentum_decay))
    gradient_size = h.lr * (1.0 - now)
    average_size = h.lr * following
    unbias = 1.0 / (1.0 - nth_power(h.beta2, step))
    average, average_square = _averaging(h.beta1), _averaging_squares(h.beta2)

    def each(p: Any, g: Any, m: Any, v: Any, product: Any) -> Any:
        p, g = _decayed(h, p, g, decoupled)
        m = average(m, g)
        v = average_square(v, g)
        # the product of all momenta: one number, kept with every element so that elements stay independent
        product = where(step == 1.0, now, product * now)
        move = gradient_size * g / (1.0 - product) + average_size * m / (1.0 - product * following)
        return fma(-move, inverse(root(v * unbias) + h.eps), p), m, v, product

    return each


@update(state=(*_MOMENTS, "mu_product"), hyper=_NADAM)
def nadam(h: Any, step: Any) -> Each:
    """Adam with Nesterov's momentum (Dozat 2016)."""
    return _nadam(h, step, decoupled=False)


@update(state=(*_MOMENTS, "mu_product"), hyper=_NADAM)
def nadamw(h: Any, step: Any) -> Each:
    """NAdam with decoupled weight decay."""
    return _nadam(h, step, decoupled=True)


def _radam(h: Any, step: Any, decoupled: bool) -> Each:
    beta2_power = nth_power(h.beta2, step)
    bias2 = 1.0 - beta2_power
    step_size = h.lr / (1.0 - nth_power(h.beta1, step))
    # the length of the moving average, and the longest it can get; below 5 the variance is unknown
    longest = 2.0 / (1.0 - h.beta2) - 1.0
    length = longest - 2.0 * step * beta2_power / bias2
    known = length > 5.0
    at_least = where(known, length, 5.0)
    rectified = sqrt(
        (at_least - 4.0) * (at_least - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * at_least)
    )
    adaptive_size = step_size * rectified * sqrt(bias2)
    average, average_square = _averaging(h.beta1), _averaging_squares(h.beta2)

    def each(p: Any, g: Any, m: Any, v: Any) -> Any:
        p, g = _decayed(h, p, g, decoupled)
        m = average(m, g)
        v = average_square(v, g)
        size = where(known, adaptive_size * inverse(root(v) + h.eps), step_size)
        return fma(-size, m, p), m, v

    return each


@update(state=_MOMENTS, hyper=_ADAM)
def radam(h: Any, step: Any) -> Each:
    """Rectified Adam (Liu et al. 2020)."""
    return _radam(h, step, decoupled=False)


@update(state=_MOMENTS, hyper=_ADAM)
def radamw(h: Any, step: Any) -> Each:
    """Rectified Adam with decoupled weight decay."""
    return _radam(h, step, decoupled=True)


# scaled by the size of past gradients -----------------------------------------------------------------


def _rmsprop(h: Any, centered: bool, momentum: bool) -> Each:
    average, average_square = _averaging(h.alpha), _averaging_squares(h.alpha)

    def each(p: Any, g: Any, square: Any, *others: Any) -> Any:
        g = _descent(h, p, g)
        square = average_square(square, g)
        state = [square]
        variance = square
        if centered:
            mean = average(others[-1], g)
            variance = fma(-mean, mean, square)
        size = root(variance) + h.eps
        if momentum:
            move = fma(h.momentum, others[0], g * inverse(size))
            p = fma(-h.lr, move, p)
            state.append(move)
        else:
            p = fma(-(h.lr * g), inverse(size), p)
        if centered:
            state.append(mean)
        return p, *state

    return each


@update(state=("square_avg",), hyper=_RMSPROP)
def rmsprop(h: Any, step: Any) -> Each:
    """RMSprop (Hinton 2012, lecture 6e of his course)."""
    return _rmsprop(h, centered=False, momentum=False)


@update(state=("square_avg", "momentum_buffer"), hyper=_RMSPROP)
def rmsprop_momentum(h: Any, step: Any) -> Each:
    """RMSprop with momentum."""
    return _rmsprop(h, centered=False, momentum=True)


@update(state=("square_avg", "grad_avg"), hyper=_RMSPROP)
def rmsprop_centered(h: Any, step: Any) -> Each:
    """RMSprop scaled by the variance of the gradient (Graves 2013)."""
    return _rmsprop(h, centered=True, momentum=False)


@update(state=("square_avg", "momentum_buffer", "grad_avg"), hyper=_RMSPROP)
def rmsprop_centered_momentum(h: Any, step: Any) -> Each:
    """RMSprop scaled by the variance of the gradient, with momentum."""
    return _rmsprop(h, centered=True, momentum=True)


@update(state=("sum",), hyper=(*_COMMON, "lr_decay", "eps"))
def adagrad(h: Any, step: Any) -> Each:
    """Adagrad (Duchi et al. 2011)."""
    step_size = h.lr / (1.0 + (step - 1.0) * h.lr_decay)

    def each(p: Any, g: Any, total: Any) -> Any:
        g = _descent(h, p, g)
        total = fma(g, g, total)
        return fma(-(step_size * g), inverse(root(total) + h.eps), p), total

    return each


@update(state=("square_avg", "acc_delta"), hyper=(*_COMMON, "rho", "eps"))
def adadelta(h: Any, step: Any) -> Each:
    """Adadelta (Zeiler 2012), with a learning rate."""
    average_square = _averaging_squares(h.rho)

    def each(p: Any, g: Any, square: Any, moved: Any) -> Any:
        g = _descent(h, p, g)
        square = average_square(square, g)
        delta = root(moved + h.eps) * inverse(root(square + h.eps)) * g
        moved = average_square(moved, delta)
        return fma(-h.lr, delta, p), square, moved

    return each
