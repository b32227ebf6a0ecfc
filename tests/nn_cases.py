"""Layers, losses and functions with their options and inputs: one table for the comparison tests.

A case builds its module from an ``nn`` namespace and a dtype, so that two libraries can run it.
"""

import numpy as np

REDUCTIONS = ("mean", "sum", "none")


# ------------------------------------------------------------------ kinds of inputs


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.05, 2.0, shape)


def probability(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def distribution(*shape):
    return lambda rng: np.moveaxis(rng.dirichlet(np.ones(shape[1]), (shape[0], *shape[2:])), -1, 1)


def classes(count, *shape):
    return lambda rng: rng.integers(0, count, shape)


def classes_with(ignored, count, *shape):
    def make(rng):
        values = rng.integers(0, count, shape)
        values.flat[::3] = ignored
        return values

    return make


def labels(*shape):
    """Some different classes in every row, -1, and anything behind it."""

    def make(rng):
        values = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        values[np.arange(shape[0]), rng.integers(0, shape[-1], shape[0])] = -1
        return values

    return make


def signs(*shape):
    return lambda rng: np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def fixed(values):
    return lambda rng: np.asarray(values)


X = normal(4, 6)
PAIR = (normal(4, 6), normal(4, 6))
C = 5


# ------------------------------------------------------------------ the table of modules

LAYERS = {
    "Identity": (lambda n, d: n.Identity(54, unused=1), [X]),
    "Flatten": (lambda n, d: n.Flatten(), [normal(3, 2, 4)]),
    "Flatten(0, 1)": (lambda n, d: n.Flatten(0, 1), [normal(3, 2, 4)]),
    "Unflatten": (lambda n, d: n.Unflatten(1, (2, 3)), [X]),
    "Unflatten(-1)": (lambda n, d: n.Unflatten(-1, [-1, 2]), [X]),
    "Linear": (lambda n, d: n.Linear(6, 3, dtype=d), [X]),
    "Linear(bias=False)": (lambda n, d: n.Linear(6, 3, bias=False, dtype=d), [X]),
    "Linear 1-D": (lambda n, d: n.Linear(6, 3, dtype=d), [normal(6)]),
    "Linear 3-D": (lambda n, d: n.Linear(6, 3, dtype=d), [normal(2, 4, 6)]),
    "Bilinear": (lambda n, d: n.Bilinear(3, 4, 2, dtype=d), [normal(5, 3), normal(5, 4)]),
    "Bilinear(bias=False)": (
        lambda n, d: n.Bilinear(3, 4, 2, bias=False, dtype=d),
        [normal(2, 5, 3), normal(2, 5, 4)],
    ),
    "Dropout eval": (lambda n, d: n.Dropout(0.3).eval(), [X]),
    "Dropout(0)": (lambda n, d: n.Dropout(0.0), [X]),
    "Dropout(1)": (lambda n, d: n.Dropout(1.0), [X]),
    "Sequential": (
        lambda n, d: n.Sequential(n.Linear(6, 3, dtype=d), n.Tanh(), n.Linear(3, 2, dtype=d)),
        [X],
    ),
    "ReLU": (lambda n, d: n.ReLU(), [X]),
    "LeakyReLU": (lambda n, d: n.LeakyReLU(), [X]),
    "LeakyReLU(0.3)": (lambda n, d: n.LeakyReLU(0.3), [X]),
    "RReLU eval": (lambda n, d: n.RReLU().eval(), [X]),
    "RReLU(0.1, 0.5) eval": (lambda n, d: n.RReLU(0.1, 0.5).eval(), [X]),
    "RReLU(0.5, 0.5)": (lambda n, d: n.RReLU(0.5, 0.5), [X]),
    "PReLU": (lambda n, d: n.PReLU(dtype=d), [X]),
    "PReLU(6)": (lambda n, d: n.PReLU(6, init=0.4, dtype=d), [X]),
    "PReLU channels": (lambda n, d: n.PReLU(3, dtype=d), [normal(2, 3, 4)]),
    "PReLU 1-D": (lambda n, d: n.PReLU(dtype=d), [normal(7)]),
    "ELU": (lambda n, d: n.ELU(), [X]),
    "ELU(0.7)": (lambda n, d: n.ELU(0.7), [X]),
    "SELU": (lambda n, d: n.SELU(), [X]),
    "CELU": (lambda n, d: n.CELU(), [X]),
    "CELU(1.7)": (lambda n, d: n.CELU(1.7), [X]),
    "GELU": (lambda n, d: n.GELU(), [X]),
    "GELU(tanh)": (lambda n, d: n.GELU(approximate="tanh"), [X]),
    "SiLU": (lambda n, d: n.SiLU(), [X]),
    "Mish": (lambda n, d: n.Mish(), [X]),
    "Softplus": (lambda n, d: n.Softplus(), [X]),
    "Softplus(2, 1)": (lambda n, d: n.Softplus(2.0, 1.0), [X]),
    "Softsign": (lambda n, d: n.Softsign(), [X]),
    "Tanh": (lambda n, d: n.Tanh(), [X]),
    "Sigmoid": (lambda n, d: n.Sigmoid(), [X]),
    "LogSigmoid": (lambda n, d: n.LogSigmoid(), [X]),
    "Hardtanh": (lambda n, d: n.Hardtanh(), [X]),
    "Hardtanh(-0.3, 2)": (lambda n, d: n.Hardtanh(-0.3, 2.0), [X]),
    "ReLU6": (lambda n, d: n.ReLU6(), [lambda rng: 5 * rng.standard_normal((4, 6))]),
    "Hardswish": (lambda n, d: n.Hardswish(), [lambda rng: 3 * rng.standard_normal((4, 6))]),
    "Hardsigmoid": (lambda n, d: n.Hardsigmoid(), [lambda rng: 3 * rng.standard_normal((4, 6))]),
    "Threshold": (lambda n, d: n.Threshold(0.1, 20.0), [X]),
    "Tanhshrink": (lambda n, d: n.Tanhshrink(), [X]),
    "Hardshrink": (lambda n, d: n.Hardshrink(), [X]),
    "Softshrink": (lambda n, d: n.Softshrink(0.3), [X]),
    "Softmax": (lambda n, d: n.Softmax(dim=1), [X]),
    "Softmax(0)": (lambda n, d: n.Softmax(dim=0), [normal(3, 4, 2)]),
    "Softmax(1) of 3": (lambda n, d: n.Softmax(dim=1), [normal(3, 4, 2)]),
    "Softmax2d": (lambda n, d: n.Softmax2d(), [normal(2, 3, 2, 4)]),
    "Softmax2d 3-D": (lambda n, d: n.Softmax2d(), [normal(3, 2, 4)]),
    "LogSoftmax": (lambda n, d: n.LogSoftmax(dim=-1), [X]),
    "LogSoftmax(0)": (lambda n, d: n.LogSoftmax(dim=0), [X]),
    "Softmin": (lambda n, d: n.Softmin(dim=1), [X]),
    "GLU": (lambda n, d: n.GLU(), [X]),
    "GLU(0)": (lambda n, d: n.GLU(0), [X]),
    "CosineSimilarity": (lambda n, d: n.CosineSimilarity(), list(PAIR)),
    "CosineSimilarity(0)": (lambda n, d: n.CosineSimilarity(dim=0, eps=0.1), list(PAIR)),
    "PairwiseDistance": (lambda n, d: n.PairwiseDistance(), list(PAIR)),
    "PairwiseDistance(1)": (lambda n, d: n.PairwiseDistance(1.0, keepdim=True), list(PAIR)),
    "PairwiseDistance(3)": (lambda n, d: n.PairwiseDistance(3.0), list(PAIR)),
}

IN_PLACE = {
    f"{name}(inplace=True)": (build, [X])
    for name, build in {
        "ReLU": lambda n, d: n.ReLU(inplace=True),
        "LeakyReLU": lambda n, d: n.LeakyReLU(0.2, inplace=True),
        "RReLU": lambda n, d: n.RReLU(0.25, 0.25, inplace=True),
        "ELU": lambda n, d: n.ELU(inplace=True),
        "SELU": lambda n, d: n.SELU(inplace=True),
        "CELU": lambda n, d: n.CELU(inplace=True),
        "SiLU": lambda n, d: n.SiLU(inplace=True),
        "Mish": lambda n, d: n.Mish(inplace=True),
        "Hardtanh": lambda n, d: n.Hardtanh(inplace=True),
        "ReLU6": lambda n, d: n.ReLU6(inplace=True),
        "Hardswish": lambda n, d: n.Hardswish(inplace=True),
        "Hardsigmoid": lambda n, d: n.Hardsigmoid(inplace=True),
        "Threshold": lambda n, d: n.Threshold(0.1, 2.0, inplace=True),
        "Dropout": lambda n, d: n.Dropout(1.0, inplace=True),
    }.items()
}

LOGITS = normal(7, C)
SPATIAL = normal(3, C, 2, 4)
INDEX = classes(C, 7)

# options without the reduction, and the inputs; "w" stands for the class weights
LOSSES = {
    "mse": ("MSELoss", {}, PAIR),
    "l1": ("L1Loss", {}, PAIR),
    "smooth_l1": ("SmoothL1Loss", {}, PAIR),
    "smooth_l1 beta": ("SmoothL1Loss", {"beta": 0.4}, PAIR),
    "smooth_l1 beta 0": ("SmoothL1Loss", {"beta": 0.0}, PAIR),
    "huber": ("HuberLoss", {}, PAIR),
    "huber delta": ("HuberLoss", {"delta": 0.4}, PAIR),
    "bce": ("BCELoss", {}, (probability(4, C), probability(4, C))),
    "bce weight": ("BCELoss", {"weight": "w"}, (probability(4, C), probability(4, C))),
    "bce hard": ("BCELoss", {}, (fixed([0.0, 1.0, 0.0, 1.0, 0.5]), fixed([0.0, 1.0, 1.0, 0.0, 1.0]))),
    "bce logits": ("BCEWithLogitsLoss", {}, (normal(4, C), probability(4, C))),
    "bce logits far": ("BCEWithLogitsLoss", {}, (fixed([-200.0, 200.0, 0.0]), fixed([1.0, 0.0, 0.5]))),
    "bce logits weight": ("BCEWithLogitsLoss", {"weight": "w"}, (normal(4, C), probability(4, C))),
    "bce logits pos_weight": ("BCEWithLogitsLoss", {"pos_weight": "w"}, (normal(4, C), probability(4, C))),
    "bce logits both": (
        "BCEWithLogitsLoss",
        {"weight": "w", "pos_weight": "w"},
        (normal(4, C), probability(4, C)),
    ),
    "cross entropy": ("CrossEntropyLoss", {}, (LOGITS, INDEX)),
    "cross entropy far": ("CrossEntropyLoss", {}, (fixed([[1e4, -1e4, 0.0]] * 2), fixed([0, 1]))),
    "cross entropy weight": ("CrossEntropyLoss", {"weight": "w"}, (LOGITS, INDEX)),
    "cross entropy ignore": ("CrossEntropyLoss", {"ignore_index": 2}, (LOGITS, INDEX)),
    "cross entropy ignored": ("CrossEntropyLoss", {}, (LOGITS, classes_with(-100, C, 7))),
    "cross entropy smooth": ("CrossEntropyLoss", {"label_smoothing": 0.1}, (LOGITS, INDEX)),
    "cross entropy all": (
        "CrossEntropyLoss",
        {"weight": "w", "ignore_index": 2, "label_smoothing": 0.1},
        (LOGITS, classes_with(2, C, 7)),
    ),
    "cross entropy smooth ignored": (
        "CrossEntropyLoss",
        {"label_smoothing": 0.2},
        (LOGITS, classes_with(-100, C, 7)),
    ),
    "cross entropy spatial": ("CrossEntropyLoss", {}, (SPATIAL, classes(C, 3, 2, 4))),
    "cross entropy spatial all": (
        "CrossEntropyLoss",
        {"weight": "w", "ignore_index": 1, "label_smoothing": 0.1},
        (SPATIAL, classes_with(1, C, 3, 2, 4)),
    ),
    "cross entropy 1-D": ("CrossEntropyLoss", {}, (normal(C), fixed(3))),
    "cross entropy 1-D weight": ("CrossEntropyLoss", {"weight": "w"}, (normal(C), fixed(3))),
    "cross entropy soft": ("CrossEntropyLoss", {}, (LOGITS, distribution(7, C))),
    "cross entropy soft 1-D": ("CrossEntropyLoss", {}, (normal(C), probability(C))),
    "cross entropy soft all": (
        "CrossEntropyLoss",
        {"weight": "w", "label_smoothing": 0.1},
        (LOGITS, distribution(7, C)),
    ),
    "cross entropy soft spatial": (
        "CrossEntropyLoss",
        {"weight": "w", "label_smoothing": 0.1},
        (SPATIAL, distribution(3, C, 2, 4)),
    ),
    "nll": ("NLLLoss", {}, (LOGITS, INDEX)),
    "nll weight": ("NLLLoss", {"weight": "w"}, (LOGITS, INDEX)),
    "nll ignored": ("NLLLoss", {}, (LOGITS, classes_with(-100, C, 7))),
    "nll both": ("NLLLoss", {"weight": "w", "ignore_index": 2}, (LOGITS, classes_with(2, C, 7))),
    "nll 1-D": ("NLLLoss", {}, (normal(C), fixed(3))),
    "nll 3-D": ("NLLLoss", {"weight": "w"}, (normal(3, C, 4), classes(C, 3, 4))),
    "nll spatial": ("NLLLoss", {"ignore_index": 0}, (SPATIAL, classes(C, 3, 2, 4))),
    "kl": ("KLDivLoss", {}, (normal(4, C), distribution(4, C))),
    "kl zeros": ("KLDivLoss", {}, (normal(4, 2), fixed([[0.0, 1.0], [1.0, 0.0]] * 2))),
    "kl log": ("KLDivLoss", {"log_target": True}, (normal(4, C), normal(4, C))),
    "poisson": ("PoissonNLLLoss", {}, (normal(4, C), positive(4, C))),
    "poisson full": (
        "PoissonNLLLoss",
        {"full": True},
        (normal(4, C), lambda rng: rng.uniform(0.1, 5.0, (4, C))),
    ),
    "poisson rate": ("PoissonNLLLoss", {"log_input": False, "eps": 1e-3}, (positive(4, C), positive(4, C))),
    "gaussian": ("GaussianNLLLoss", {}, (normal(4, C), normal(4, C), positive(4, C))),
    "gaussian full": ("GaussianNLLLoss", {"full": True}, (normal(4, C), normal(4, C), positive(4, C))),
    "gaussian eps": ("GaussianNLLLoss", {"eps": 0.7}, (normal(4, C), normal(4, C), positive(4, C))),
    "gaussian rows": ("GaussianNLLLoss", {}, (normal(4, C), normal(4, C), positive(4, 1))),
    "gaussian short": ("GaussianNLLLoss", {}, (normal(4, C), normal(4, C), positive(4))),
    "hinge": ("HingeEmbeddingLoss", {}, (normal(4, C), signs(4, C))),
    "hinge margin": ("HingeEmbeddingLoss", {"margin": 0.3}, (normal(4, C), signs(4, C))),
    "ranking": ("MarginRankingLoss", {}, (*PAIR, signs(4, 6))),
    "ranking margin": ("MarginRankingLoss", {"margin": 0.4}, (*PAIR, signs(4, 6))),
    "cosine": ("CosineEmbeddingLoss", {}, (*PAIR, signs(4))),
    "cosine margin": ("CosineEmbeddingLoss", {"margin": 0.2}, (*PAIR, signs(4))),
    "cosine 1-D": ("CosineEmbeddingLoss", {}, (normal(6), normal(6), fixed(-1.0))),
    "triplet": ("TripletMarginLoss", {}, (*PAIR, normal(4, 6))),
    "triplet options": (
        "TripletMarginLoss",
        {"margin": 3.0, "p": 1.0, "swap": True, "eps": 1e-4},
        (*PAIR, normal(4, 6)),
    ),
    "soft margin": ("SoftMarginLoss", {}, (normal(4, C), signs(4, C))),
    "soft margin row": ("SoftMarginLoss", {}, (normal(4, C), signs(C))),
    "multilabel soft": ("MultiLabelSoftMarginLoss", {}, (normal(4, C), probability(4, C))),
    "multilabel soft weight": (
        "MultiLabelSoftMarginLoss",
        {"weight": "w"},
        (normal(4, C), probability(4, C)),
    ),
    "multilabel soft 3-D": ("MultiLabelSoftMarginLoss", {}, (normal(2, 3, C), probability(2, 3, C))),
    "multilabel soft far": (
        "MultiLabelSoftMarginLoss",
        {},
        (fixed([-200.0, 200.0, 0.0, 150.0]), fixed([1.0, 0.0, 0.5, 1.0])),
    ),
    "multilabel margin": ("MultiLabelMarginLoss", {}, (normal(4, C), labels(4, C))),
    "multilabel margin twice": ("MultiLabelMarginLoss", {}, (normal(2, C), fixed([[3, 3, -1, 1, 0]] * 2))),
    "multilabel margin none": ("MultiLabelMarginLoss", {}, (normal(2, C), fixed([[-1, 3, 2, 1, 0]] * 2))),
    "multilabel margin all": ("MultiLabelMarginLoss", {}, (normal(C), fixed([4, 3, 2, 1, 0]))),
    "multilabel margin far": ("MultiLabelMarginLoss", {}, (fixed([1e4, -1e4, 0.0]), fixed([1, 2, -1]))),
    "multilabel margin ties": ("MultiLabelMarginLoss", {}, (fixed([1.0, 0.0, 2.0]), fixed([0, -1, 0]))),
    "multi margin": ("MultiMarginLoss", {}, (LOGITS, INDEX)),
    "multi margin 2": ("MultiMarginLoss", {"p": 2, "margin": 0.6}, (LOGITS, INDEX)),
    "multi margin weight": ("MultiMarginLoss", {"weight": "w"}, (LOGITS, INDEX)),
    "multi margin 2 weight": ("MultiMarginLoss", {"p": 2, "weight": "w"}, (LOGITS, INDEX)),
    "multi margin ties": ("MultiMarginLoss", {"margin": 0.0}, (fixed([[0.5, 0.5, 0.0]]), fixed([0]))),
    "multi margin far": ("MultiMarginLoss", {"p": 2}, (fixed([[1e4, -1e4, 0.0]] * 2), fixed([0, 1]))),
    "multi margin 1-D": ("MultiMarginLoss", {"weight": "w"}, (normal(C), fixed(3))),
    "triplet distance": ("TripletMarginWithDistanceLoss", {}, (*PAIR, normal(4, 6))),
    "triplet 1-D": ("TripletMarginLoss", {"margin": 2.0}, (normal(6), normal(6), normal(6))),
}

CONSTANT_TARGETS = {"HingeEmbeddingLoss", "MarginRankingLoss", "CosineEmbeddingLoss", "SoftMarginLoss"}

FUNCTIONS = {
    "mse weight": lambda f, x, y, w: f.mse_loss(x, y, weight=w),
    "mse weight sum": lambda f, x, y, w: f.mse_loss(x, y, reduction="sum", weight=w),
    "mse weight none": lambda f, x, y, w: f.mse_loss(x, y, reduction="none", weight=w),
    "l1 weight": lambda f, x, y, w: f.l1_loss(x, y, weight=w),
    "huber weight": lambda f, x, y, w: f.huber_loss(x, y, delta=0.5, weight=w),
    "normalize": lambda f, x, y, w: f.normalize(x, dim=0) * y + w,
    "normalize p": lambda f, x, y, w: f.normalize(x, p=1.0, dim=1) * y + w,
    "cosine_similarity": lambda f, x, y, w: f.cosine_similarity(x * w, y, dim=-1),
    "cosine_similarity broadcast": lambda f, x, y, w: f.cosine_similarity(x * w[:1], y[0], dim=0),
    "cosine_similarity fewer dimensions": lambda f, x, y, w: f.cosine_similarity(x * w, y[0], dim=1),
    "cosine_similarity of integers": lambda f, x, y, w: f.cosine_similarity(
        x * y * w, y.round().long(), dim=1
    ),
    "cosine_similarity short": lambda f, x, y, w: f.cosine_similarity(x * w * 0.2, y, dim=0, eps=0.7),
    "softmax dtype": lambda f, x, y, w: f.softmax(x, 0, dtype=y.dtype) * y + w,
    "gaussian number": lambda f, x, y, w: f.gaussian_nll_loss(x * w, y, 0.6),
    **{
        f"pdist {p}": lambda f, x, y, w, p=p: f.pdist(x * y + w, p)
        for p in (0, 0.5, 1, 1.5, 2, 3, float("inf"))
    },
    "linear one bias": lambda f, x, y, w: f.linear(x, y, (x * w).sum((0, 1), keepdim=True)[0]),
    "linear rows of bias": lambda f, x, y, w: f.linear(x[0] * w[0], y, w[:1, :4]),
    "pdist of one": lambda f, x, y, w: f.pdist((x * y * w)[:1]),
    "relu_": lambda f, x, y, w: f.relu_(x * y) + w,
    "leaky_relu_": lambda f, x, y, w: f.leaky_relu_(x * y, 0.2) + w,
    "rrelu_": lambda f, x, y, w: f.rrelu_(x * y, 0.1, 0.5) + w,
    "elu_": lambda f, x, y, w: f.elu_(x * y, 1.2) + w,
    "selu_": lambda f, x, y, w: f.selu_(x * y) + w,
    "celu_": lambda f, x, y, w: f.celu_(x * y) + w,
    "hardtanh_": lambda f, x, y, w: f.hardtanh_(x * y) + w,
    "threshold_": lambda f, x, y, w: f.threshold_(x * y, 0.1, 3.0) + w,
}
