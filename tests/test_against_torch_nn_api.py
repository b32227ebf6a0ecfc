"""Signatures, error classes, messages and names of jitgrad.nn are PyTorch's."""

import inspect

import pytest

import jitgrad

torch = pytest.importorskip("torch")

LIBRARIES = (jitgrad, torch)

# ------------------------------------------------------------------ the same error classes

ERRORS = {
    "batch sizes": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(2, dtype=t.int64)),
    "nll batch sizes": lambda t, f: f.nll_loss(t.randn(3, 4), t.zeros(2, dtype=t.int64)),
    "int32 target": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(3, dtype=t.int32)),
    "float target": lambda t, f: f.nll_loss(t.randn(3, 4), t.zeros(3)),
    "2-D target": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(3, 3)),
    "integer probabilities": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(3, 4, dtype=t.int64)),
    "class too large": lambda t, f: f.cross_entropy(t.randn(3, 4), t.full((3,), 4)),
    "class negative": lambda t, f: f.cross_entropy(t.randn(3, 4), t.full((3,), -1)),
    "class too large, sum": lambda t, f: f.cross_entropy(t.randn(3, 4), t.full((3,), 4), reduction="sum"),
    "nll class too large": lambda t, f: f.nll_loss(t.randn(3, 4), t.full((3,), 4)),
    "spatial target": lambda t, f: f.cross_entropy(t.randn(3, 4, 2), t.zeros(3, 3, dtype=t.int64)),
    "missing dimension": lambda t, f: f.cross_entropy(t.randn(3, 4, 2), t.zeros(3, dtype=t.int64)),
    "spatial batch": lambda t, f: f.cross_entropy(t.randn(3, 4, 2, 2), t.zeros(4, 2, 2, dtype=t.int64)),
    "weight size": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(3, dtype=t.int64), t.ones(3)),
    "soft weight size": lambda t, f: f.cross_entropy(t.randn(3, 4), t.rand(3, 4), t.ones(3)),
    "soft ignore_index": lambda t, f: f.cross_entropy(t.randn(3, 4), t.rand(3, 4), ignore_index=1),
    "smoothing": lambda t, f: f.cross_entropy(t.randn(3, 4), t.zeros(3, dtype=t.int64), label_smoothing=1.5),
    "0-D nll": lambda t, f: f.nll_loss(t.tensor(1.0), t.tensor(0)),
    "1-D nll": lambda t, f: f.nll_loss(t.randn(4), t.tensor([0, 1])),
    "reduction": lambda t, f: f.mse_loss(t.randn(3), t.randn(3), reduction="foo"),
    "l1 reduction": lambda t, f: f.l1_loss(t.randn(3), t.randn(3), reduction="foo"),
    "ce reduction": lambda t, f: f.cross_entropy(t.randn(2, 3), t.tensor([0, 1]), reduction="foo"),
    "kl reduction": lambda t, f: f.kl_div(t.randn(3), t.rand(3), reduction="foo"),
    "gaussian reduction": lambda t, f: f.gaussian_nll_loss(
        t.randn(3), t.randn(3), t.rand(3), reduction="foo"
    ),
    "bce sizes": lambda t, f: f.binary_cross_entropy(t.rand(3), t.rand(3, 1)),
    "bce range": lambda t, f: f.binary_cross_entropy(t.rand(3) + 2, t.rand(3)),
    "bce logits sizes": lambda t, f: f.binary_cross_entropy_with_logits(t.randn(3), t.rand(3, 1)),
    "mse weights": lambda t, f: f.mse_loss(t.ones(3), t.zeros(3), weight=t.ones(1)),
    "beta": lambda t, f: f.smooth_l1_loss(t.randn(3), t.randn(3), beta=-1.0),
    "delta": lambda t, f: f.huber_loss(t.randn(3), t.randn(3), delta=0.0),
    "ranking": lambda t, f: f.margin_ranking_loss(t.randn(3), t.randn(3, 1), t.ones(3)),
    "cosine 1-D": lambda t, f: f.cosine_embedding_loss(t.randn(3), t.randn(3), t.ones(3)),
    "cosine 2-D target": lambda t, f: f.cosine_embedding_loss(t.randn(3, 2), t.randn(3, 2), t.ones(3, 1)),
    "cosine sizes": lambda t, f: f.cosine_embedding_loss(t.randn(3, 2), t.randn(4, 2), t.ones(3)),
    "triplet": lambda t, f: f.triplet_margin_loss(t.randn(3, 2), t.randn(3, 2), t.randn(2)),
    "triplet margin": lambda t, f: f.triplet_margin_loss(*[t.randn(3, 2)] * 3, margin=-1.0),
    "TripletMarginLoss": lambda t, f: t.nn.TripletMarginLoss(margin=0.0),
    "soft margin sizes": lambda t, f: f.soft_margin_loss(t.randn(3, 4), t.ones(3, 3)),
    "soft margin larger target": lambda t, f: f.soft_margin_loss(t.randn(4), t.ones(3, 4)),
    "soft margin integers": lambda t, f: f.soft_margin_loss(t.tensor([1, 2]), t.tensor([1, -1])),
    "soft margin reduction": lambda t, f: f.soft_margin_loss(t.randn(3), t.ones(3), reduction="foo"),
    "multilabel soft 0-D": lambda t, f: f.multilabel_soft_margin_loss(t.tensor(1.0), t.tensor(1.0)),
    "multilabel soft sizes": lambda t, f: f.multilabel_soft_margin_loss(t.randn(2, 3), t.rand(2, 4)),
    "multilabel soft weight": lambda t, f: f.multilabel_soft_margin_loss(
        t.randn(2, 3), t.rand(2, 3), t.ones(4)
    ),
    "multilabel soft reduction": lambda t, f: f.multilabel_soft_margin_loss(
        t.randn(3), t.rand(3), reduction="foo"
    ),
    "multilabel margin sizes": lambda t, f: f.multilabel_margin_loss(t.randn(2, 4), t.tensor([[0, 1]] * 2)),
    "multilabel margin rows": lambda t, f: f.multilabel_margin_loss(t.randn(1, 2), t.tensor([0, 1])),
    "multilabel margin 1-D": lambda t, f: f.multilabel_margin_loss(t.randn(2), t.tensor([[0, 1]])),
    "multilabel margin 3-D": lambda t, f: f.multilabel_margin_loss(t.randn(1, 1, 2), t.tensor([[[0, 1]]])),
    "multilabel margin no class": lambda t, f: f.multilabel_margin_loss(
        t.randn(2, 0), t.zeros(2, 0, dtype=t.int64)
    ),
    "multilabel margin class": lambda t, f: f.multilabel_margin_loss(t.randn(1, 2), t.tensor([[0, 2]])),
    "multilabel margin behind": lambda t, f: f.multilabel_margin_loss(t.randn(1, 2), t.tensor([[-1, 2]])),
    "multilabel margin -2": lambda t, f: f.multilabel_margin_loss(t.randn(1, 2), t.tensor([[0, -2]])),
    "multilabel margin float": lambda t, f: f.multilabel_margin_loss(t.randn(1, 2), t.zeros(1, 2)),
    "multilabel margin reduction": lambda t, f: f.multilabel_margin_loss(
        t.randn(1, 2), t.tensor([[0, -1]]), reduction="foo"
    ),
    "multilabel margin integers": lambda t, f: f.multilabel_margin_loss(
        t.tensor([[1, 2]]), t.tensor([[0, 1]])
    ),
    "multi margin samples": lambda t, f: f.multi_margin_loss(t.randn(3, 4), t.tensor([0, 1])),
    "multi margin 2-D target": lambda t, f: f.multi_margin_loss(t.randn(2, 4), t.tensor([[0, 1]])),
    "multi margin 3-D": lambda t, f: f.multi_margin_loss(t.randn(2, 4, 2), t.tensor([0, 1])),
    "multi margin no class": lambda t, f: f.multi_margin_loss(t.randn(2, 0), t.tensor([0, 1])),
    "multi margin float target": lambda t, f: f.multi_margin_loss(t.randn(2, 4), t.zeros(2)),
    "multi margin integers": lambda t, f: f.multi_margin_loss(t.tensor([[1, 2]]), t.tensor([0])),
    "multi margin class": lambda t, f: f.multi_margin_loss(t.randn(2, 4), t.tensor([0, 4])),
    "multi margin negative": lambda t, f: f.multi_margin_loss(t.randn(2, 4), t.tensor([0, -1])),
    "multi margin p": lambda t, f: f.multi_margin_loss(t.randn(2, 4), t.tensor([0, 1]), p=3),
    "multi margin weight": lambda t, f: f.multi_margin_loss(
        t.randn(2, 4), t.tensor([0, 1]), weight=t.ones(1, 4)
    ),
    "multi margin weight size": lambda t, f: f.multi_margin_loss(
        t.randn(2, 4), t.tensor([0, 1]), weight=t.ones(3)
    ),
    "multi margin weight dtype": lambda t, f: f.multi_margin_loss(
        t.randn(2, 4), t.tensor([0, 1]), weight=t.ones(4, dtype=t.float64)
    ),
    "multi margin reduction": lambda t, f: f.multi_margin_loss(
        t.randn(2, 4), t.tensor([0, 1]), reduction="foo"
    ),
    "MultiMarginLoss": lambda t, f: t.nn.MultiMarginLoss(p=3),
    "MultiMarginLoss weight": lambda t, f: t.nn.MultiMarginLoss(weight=t.ones(1, 4)),
    "triplet distance": lambda t, f: f.triplet_margin_with_distance_loss(
        t.randn(3, 2), t.randn(3, 2), t.randn(2)
    ),
    "triplet distance margin": lambda t, f: t.nn.TripletMarginWithDistanceLoss(margin=0.0),
    "negative variance": lambda t, f: f.gaussian_nll_loss(t.randn(3, 2), t.randn(3, 2), -t.ones(3, 2)),
    "negative number": lambda t, f: f.gaussian_nll_loss(t.randn(3, 2), t.randn(3, 2), -1.0),
    "variance size": lambda t, f: f.gaussian_nll_loss(t.randn(3, 2), t.randn(3, 2), t.ones(4)),
    "glu odd": lambda t, f: f.glu(t.randn(3)),
    "glu 0-D": lambda t, f: f.glu(t.tensor(1.0)),
    "glu dim": lambda t, f: f.glu(t.randn(4), 1),
    "prelu size": lambda t, f: f.prelu(t.randn(3, 4), t.randn(3)),
    "prelu 1-D": lambda t, f: f.prelu(t.randn(3), t.randn(3)),
    "prelu 2-D": lambda t, f: f.prelu(t.randn(3, 4), t.randn(2, 2)),
    "prelu 0-D": lambda t, f: f.prelu(t.tensor(1.0), t.randn(2)),
    "dropout": lambda t, f: f.dropout(t.randn(3), 2.0),
    "Dropout": lambda t, f: t.nn.Dropout(-0.1),
    "softmax dim": lambda t, f: f.softmax(t.randn(2), 3),
    "gelu": lambda t, f: f.gelu(t.randn(2), approximate="foo"),
    "hardtanh": lambda t, f: f.hardtanh(t.randn(2), 2.0, 1.0),
    "Hardtanh": lambda t, f: t.nn.Hardtanh(2.0, 1.0),
    "rrelu bounds": lambda t, f: f.rrelu(t.randn(2), 0.5, 0.2),
    "rrelu infinite": lambda t, f: f.rrelu(t.randn(2), 0.5, float("inf"), True),
    "rrelu nan": lambda t, f: f.rrelu_(t.randn(2), float("nan"), 0.5),
    "rrelu integers": lambda t, f: f.rrelu(t.tensor([1, -1])),
    "gumbel integers": lambda t, f: f.gumbel_softmax(t.tensor([1, -1])),
    "gumbel dim": lambda t, f: f.gumbel_softmax(t.randn(2, 3), dim=3),
    "gumbel hard dim": lambda t, f: f.gumbel_softmax(t.randn(2, 3), hard=True, dim=-3),
    "gumbel of nothing": lambda t, f: f.gumbel_softmax(t.randn(2, 0), hard=True),
    "Softmax2d": lambda t, f: t.nn.Softmax2d()(t.randn(2, 3)),
    "pdist 1-D": lambda t, f: f.pdist(t.randn(3)),
    "pdist 3-D": lambda t, f: f.pdist(t.randn(3, 2, 2)),
    "pdist p": lambda t, f: f.pdist(t.randn(3, 2), -1.0),
    "pdist nan": lambda t, f: f.pdist(t.randn(3, 2), float("nan")),
    "pdist integers": lambda t, f: f.pdist(t.ones(3, 2, dtype=t.int64)),
    "celu": lambda t, f: f.celu(t.randn(2), 0.0),
    "softshrink": lambda t, f: f.softshrink(t.randn(2), -1.0),
    "Unflatten size": lambda t, f: t.nn.Unflatten(1, 3),
    "Unflatten element": lambda t, f: t.nn.Unflatten(1, (2, "a")),
    "bilinear sizes": lambda t, f: f.bilinear(t.randn(3, 2), t.randn(3, 4), t.randn(5, 2, 3)),
    "bilinear batches": lambda t, f: f.bilinear(t.randn(3, 2), t.randn(4, 4), t.randn(5, 2, 4)),
    "Bilinear": lambda t, f: t.nn.Bilinear(0, 2, 3),
    "linear sizes": lambda t, f: t.nn.Linear(3, 2)(t.randn(4, 4)),
    "in-place on a leaf": lambda t, f: f.relu_(t.randn(3, requires_grad=True)),
}


@pytest.mark.parametrize("label", ERRORS)
@pytest.mark.filterwarnings("ignore:.*reduction.*divides the total loss")
def test_error_has_the_same_class(label):
    with pytest.raises(Exception) as theirs:
        ERRORS[label](torch, torch.nn.functional)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[label](jitgrad, jitgrad.nn.functional)
    assert type(ours.value) is type(theirs.value)


# ------------------------------------------------------------------ the same signatures

TAKES_ANYTHING = {"Module", "Identity", "Softsign", "Tanh", "Sigmoid", "LogSigmoid", "Tanhshrink"}


def described(callable_):
    return [
        (p.name, p.kind, p.default.__name__ if inspect.isfunction(p.default) else p.default)
        for p in inspect.signature(callable_).parameters.values()
        if p.name not in ("args", "kwargs")
    ]


@pytest.mark.parametrize("name", sorted(set(jitgrad.nn.__all__) - {"functional", "init", "utils"}))
def test_constructor_takes_the_same_arguments(name):
    ours, theirs = (getattr(lib.nn, name) for lib in LIBRARIES)
    assert name in TAKES_ANYTHING or described(ours) == described(theirs)
    if issubclass(ours, jitgrad.nn.Module) and "forward" in vars(ours) and name != "Module":
        assert described(ours.forward) == described(theirs.forward)


def has_signature(name):
    """Tell apart PyTorch's builtins, and functions that hand anything on to one of two others."""
    function = inspect.unwrap(getattr(torch.nn.functional, name))
    return inspect.isfunction(function) and described(function) != []


@pytest.mark.parametrize("name", list(filter(has_signature, jitgrad.nn.functional.__all__)))
def test_function_takes_the_same_arguments(name):
    ours, theirs = (described(getattr(lib.nn.functional, name)) for lib in LIBRARIES)
    assert ours == theirs


MODULES_OWN = (
    "add_module",
    "apply",
    "buffers",
    "children",
    "cpu",
    "double",
    "eval",
    "extra_repr",
    "float",
    "get_buffer",
    "get_parameter",
    "get_submodule",
    "load_state_dict",
    "named_buffers",
    "named_children",
    "named_modules",
    "named_parameters",
    "parameters",
    "register_buffer",
    "register_module",
    "register_parameter",
    "requires_grad_",
    "train",
    "type",
    "zero_grad",
)


@pytest.mark.parametrize("name", MODULES_OWN)
def test_method_takes_the_same_arguments(name):
    ours, theirs = (described(getattr(lib.nn.Module, name)) for lib in LIBRARIES)
    assert ours == theirs


@pytest.mark.parametrize("name", [n for n in vars(jitgrad.nn.init) if n.endswith("_") and n[0] != "_"])
def test_initialiser_takes_the_same_arguments(name):
    ours, theirs = (described(getattr(lib.nn.init, name)) for lib in LIBRARIES)
    assert ours == theirs


# ------------------------------------------------------------------ whole models


def nested(nn):
    return nn.ModuleDict(
        {
            "list": nn.ModuleList(
                [nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Linear(2, 3))]
            ),
            "empty": nn.Sequential(),
            "twins": nn.ModuleList([nn.Sequential(nn.Tanh(), nn.PReLU(2)) for _ in range(3)]),
            "loss": nn.CrossEntropyLoss(),
        }
    )


def test_nested_model_has_the_same_repr_names_and_order():
    ours, theirs = nested(jitgrad.nn), nested(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for method in ("named_modules", "named_parameters", "named_children"):
        assert [n for n, _ in getattr(ours, method)()] == [n for n, _ in getattr(theirs, method)()]


def test_load_state_dict_has_the_same_message():
    messages = []
    for lib in LIBRARIES:
        model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Linear(3, 1))
        state = {"0.weight": lib.ones(2, 2), "1.bias": lib.ones(1), "2.weight": lib.ones(1)}
        with pytest.raises(RuntimeError) as error:
            model.load_state_dict(state)
        messages.append(str(error.value).replace("torch.Size", "Size").replace("jitgrad.Size", "Size"))
    assert messages[0] == messages[1]
