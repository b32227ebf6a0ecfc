"""The rules of optimizers as their papers write them: plain NumPy loops over one parameter, in float64."""

import numpy as np


def sgd(p, grads, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    b = None
    for g in grads:
        g = g + weight_decay * p
        b = g if b is None else momentum * b + (1 - dampening) * g
        p = p - lr * (g + momentum * b if nesterov else b if momentum else g)
    return p


def decayed(p, g, lr, weight_decay, decoupled):
    """A parameter and its gradient after the decay, which is a step of its own when decoupled."""
    return (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)


def adam(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, decoupled=False):
    (b1, b2), m, v, top = betas, 0.0, 0.0, 0.0
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        top = np.maximum(top, v)
        second = (top if amsgrad else v) / (1 - b2**t)
        p = p - lr * (m / (1 - b1**t)) / (np.sqrt(second) + eps)
    return p


def adamw(p, grads, lr, weight_decay=0.01, **options):
    return adam(p, grads, lr, weight_decay=weight_decay, decoupled=True, **options)


def adamax(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
    (b1, b2), m, u = betas, 0.0, 0.0
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * p
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        p = p - lr / (1 - b1**t) * m / u
    return p


def nadam(
    p,
    grads,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
):
    (b1, b2), m, v, product = betas, 0.0, 0.0, 1.0
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled_weight_decay)
        mu, after = (b1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product *= mu
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        direction = (1 - mu) * g / (1 - product) + after * m / (1 - product * after)
        p = p - lr * direction / (np.sqrt(v / (1 - b2**t)) + eps)
    return p


def radam(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False):
    (b1, b2), m, v = betas, 0.0, 0.0
    longest = 2 / (1 - b2) - 1
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled_weight_decay)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        move = m / (1 - b1**t)
        if length > 5:
            r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            move = move * np.sqrt(r) * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        p = p - lr * move
    return p


def rmsprop(p, grads, lr, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    v, mean, b = 0.0, 0.0, 0.0
    for g in grads:
        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        scaled = g / (np.sqrt(v - mean**2 if centered else v) + eps)
        b = momentum * b + scaled
        p = p - lr * b
    return p


def adagrad(p, grads, lr, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    s = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * p
        s = s + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)
    return p


def adadelta(p, grads, lr, rho=0.9, eps=1e-6, weight_decay=0):
    v, u = 0.0, 0.0
    for g in grads:
        g = g + weight_decay * p
        v = rho * v + (1 - rho) * g**2
        delta = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = rho * u + (1 - rho) * delta**2
        p = p - lr * delta
    return p


def asgd(p, grads, lr, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0):
    return asgd_path(p, grads, lr, lambd, alpha, t0, weight_decay)[0]


def asgd_path(p, grads, lr, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0):
    eta, mu, ax = lr, 1.0, 0.0
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * p
        p = (1 - lambd * eta) * p - eta * g
        ax = ax + mu * (p - ax)
        eta = lr / (1 + lambd * lr * t) ** alpha
        mu = 1 / max(1, t - t0)
    return p, ax


def rprop(p, grads, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    p, size, before = p.copy(), np.full_like(p, lr), np.zeros_like(p)
    for g in grads:
        for at in np.ndindex(p.shape):
            slope = g[at]
            if slope * before[at] > 0:
                size[at] *= etas[1]
            if slope * before[at] < 0:
                size[at] *= etas[0]
                slope = 0.0
            size[at] = min(max(size[at], step_sizes[0]), step_sizes[1])
            p[at] -= np.sign(slope) * size[at]
            before[at] = slope
    return p


# by the optimizer's name: the rule, and options to run it with
RULES = {
    "SGD": (
        sgd,
        [
            {},
            {"weight_decay": 0.1},
            {"momentum": 0.9},
            {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        ],
    ),
    "Adam": (
        adam,
        [
            {},
            {"betas": (0.0, 0.9)},
            {"betas": (0.5, 0.99), "eps": 1e-3},
            {"weight_decay": 0.1},
            {"amsgrad": True},
            {"amsgrad": True, "weight_decay": 0.1},
        ],
    ),
    "AdamW": (adamw, [{}, {"weight_decay": 0.3}, {"amsgrad": True}]),
    "Adamax": (adamax, [{}, {"weight_decay": 0.1, "eps": 1e-3}, {"betas": (0.3, 0.9)}]),
    "NAdam": (
        nadam,
        [
            {},
            {"weight_decay": 0.1},
            {"weight_decay": 0.1, "decoupled_weight_decay": True},
            {"momentum_decay": 0.1, "betas": (0.8, 0.95)},
        ],
    ),
    "RAdam": (
        radam,
        [
            {},
            {"weight_decay": 0.1},
            {"weight_decay": 0.1, "decoupled_weight_decay": True},
            {"betas": (0.9, 0.5)},  # the variance is never known
        ],
    ),
    "RMSprop": (
        rmsprop,
        [
            {},
            {"weight_decay": 0.1, "alpha": 0.9},
            {"momentum": 0.9},
            {"centered": True, "eps": 1e-2},
            {"centered": True, "eps": 1e-2, "momentum": 0.5, "weight_decay": 0.1},
        ],
    ),
    "Adagrad": (
        adagrad,
        [{}, {"lr_decay": 0.1}, {"weight_decay": 0.1, "initial_accumulator_value": 2.0}],
    ),
    "Adadelta": (adadelta, [{}, {"weight_decay": 0.1, "rho": 0.5, "eps": 1e-3}]),
    "ASGD": (
        asgd,
        [{}, {"weight_decay": 0.1}, {"lambd": 0.3, "alpha": 1.5, "t0": 10}, {"lambd": 0.1, "alpha": -0.5}],
    ),
    "Rprop": (rprop, [{}, {"etas": (0.3, 1.7)}, {"step_sizes": (0.008, 0.015)}]),
}
