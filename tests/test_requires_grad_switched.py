"""Leaves that ask for gradients no more, or only now, when the graph that has used them is walked back."""

import pytest

import jitgrad as torch

F = torch.nn.functional
CLASSES = torch.tensor([0, 1, 2, 3])

# name -> an operation of (4, 4), (4, 4) and (4,)
USES = {
    "dropout": lambda x, w, b: F.dropout(x, 0.3),
    "cross entropy": lambda x, w, b: F.cross_entropy(x, CLASSES),
    "softmax": lambda x, w, b: x.softmax(1),
    "embedding": lambda x, w, b: F.embedding(CLASSES, w),
    "linear": lambda x, w, b: F.linear(x, w, b),
    "matmul": lambda x, w, b: x @ w,
    "layer norm": lambda x, w, b: F.layer_norm(x, (4,), b, b),
    "product": lambda x, w, b: x * w,
    "quotient": lambda x, w, b: x / w,
    "where": lambda x, w, b: torch.where(x > 0, x, w),
    "cat": lambda x, w, b: torch.cat([x, w]),
    "loss": lambda x, w, b: F.huber_loss(x, w),
    "prelu": lambda x, w, b: F.prelu(x, b),
    "sum": lambda x, w, b: x.sum(0) + w + b,
}


def leaves():
    made = torch.Generator().manual_seed(2)
    return [torch.randn(*shape, generator=made, requires_grad=True) for shape in ((4, 4), (4, 4), (4,))]


@pytest.mark.parametrize("name", USES)
def test_leaves_that_ask_no_more_get_no_gradient(name):
    """The others get theirs, and a walk for none of them is no error."""
    for off in ({0}, {1}, {2}, {0, 1, 2}):
        expected = leaves()
        result = USES[name](*expected)
        torch.manual_seed(3)
        result = USES[name](*expected)
        result.backward(torch.ones_like(result))
        found = leaves()
        torch.manual_seed(3)
        result = USES[name](*found)
        for k in off:
            found[k].requires_grad_(False)
        result.backward(torch.ones_like(result))
        for k, (x, y) in enumerate(zip(found, expected, strict=True)):
            want = None if k in off or y.grad is None else y.grad.tolist()
            assert (None if x.grad is None else x.grad.tolist()) == want


@pytest.mark.parametrize("is_view", [False, True])
@pytest.mark.parametrize("name", USES)
def test_leaves_that_ask_only_later_get_no_gradient_from_before(name, is_view):
    """Nothing has been saved for theirs; what is computed from them afterwards gives them one."""
    for late in range(3):
        found = leaves()
        found[late].requires_grad_(False)
        if is_view:
            found[late] = torch.cat([found[late]] * 2)[: len(found[late])]
        result = USES[name](*found)
        found[late].requires_grad_(True)
        if result.requires_grad:
            result.backward(torch.ones_like(result))
        assert found[late].grad is None
        (found[late] * 3).sum().backward()
        assert found[late].grad.tolist() == torch.full(found[late].shape, 3.0).tolist()


def test_a_gradient_stays_with_a_leaf_that_asks_again():
    w, x = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    (2 * w).sum().backward()
    w.requires_grad_(False)
    result = (w * x).sum()
    w.requires_grad_(True)
    assert w.grad.tolist() == [2, 2, 2]
    result.backward()
    (w * 5).sum().backward()
    assert w.grad.tolist() == [7, 7, 7] and x.grad.tolist() == [1, 1, 1]


def test_hooks_stay_with_a_leaf_that_asks_again():
    w, x, seen = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True), []
    w.register_hook(lambda g: seen.append(g.tolist()) or g * 2)
    w.requires_grad_(False)
    result = (w * x).sum()
    w.requires_grad_(True)
    result.backward()
    assert w.grad is None and seen == []
    (w * 5).sum().backward()
    assert w.grad.tolist() == [10, 10, 10] and seen == [[5, 5, 5]]


def test_a_leaf_that_asks_again_gets_the_gradients_of_what_it_had_asked_in():
    """Not of what was computed while it did not ask, nor what walks brought in that time."""
    w, x = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    first, second = (2 * w * x).sum(), (3 * w * x).sum()
    first.backward(retain_graph=True)
    w.requires_grad_(False)
    without = (5 * w * x).sum()
    first.backward()
    assert w.grad.tolist() == [2, 2, 2] and x.grad.tolist() == [4, 4, 4]
    w.requires_grad_(True)
    without.backward()
    second.backward()
    assert w.grad.tolist() == [5, 5, 5] and x.grad.tolist() == [12, 12, 12]
    (7 * w).sum().backward()
    assert w.grad.tolist() == [12, 12, 12]


def test_an_optimizer_follows_a_parameter_through_its_slots():
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer, x = torch.optim.SGD(layer.parameters(), lr=1.0), torch.ones(1, 2)
    torch.nn.init.ones_(layer.weight)
    kept = layer(x).sum()
    layer.requires_grad_(False)
    layer.requires_grad_(True)
    kept.backward()
    optimizer.step()
    assert layer.weight.tolist() == [[0, 0]]


OPTIMIZERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: torch.optim.Adam(params, lr=0.1),
    "Adafactor": lambda params: torch.optim.Adafactor(params, lr=0.1),
}


@pytest.mark.parametrize("wrap", [lambda f: f, torch.compile], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_updates_parameters_that_are_switched_while_a_graph_uses_them(name, wrap):
    """As without that graph, which keeps the slot that the parameter had."""

    def run(keeps):
        w, v = leaves()[:2]
        optimizer, kept, found = OPTIMIZERS[name]([w, v]), [], []

        @wrap
        def step(x):
            optimizer.zero_grad()
            (w * v * x).sum().backward()
            optimizer.step()
            return w.sum().detach()

        for k in range(8):
            if keeps:
                kept.append((w * w).sum())
            if k in (2, 3, 5, 6):
                w.requires_grad_(k in (3, 6))
            if k == 4:
                kept.clear()
            step(torch.full((4, 4), 1.0 + k))
            others = [torch.zeros(4, 4) for _ in range(4)]  # in slots that are free by now
            found.append((w.tolist(), v.tolist(), w.grad is None, v.grad.tolist()))
            assert not any(x.any() for x in others)
        return found

    assert run(keeps=True) == run(keeps=False)


def frozen(layer, x):
    layer.requires_grad_(False)
    return x * 2


def thawed(layer, x):
    layer.bias.requires_grad_()
    return x * 2


def frozen_for_a_while(layer, x):
    layer.requires_grad_(False)
    y = layer(x).sum()
    layer.requires_grad_(True)
    return y


@pytest.mark.parametrize("function", [frozen, thawed, frozen_for_a_while])
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_a_compiled_function_switches_requires_grad_in_every_call(function):
    layer = torch.nn.Linear(3, 2)
    step = torch.compile(lambda x: function(layer, x))
    expected = {frozen: [False] * 2, thawed: [None, True], frozen_for_a_while: [True] * 2}[function]
    for before in (True, True, False, False, True, False, True, True):
        layer.requires_grad_(before)
        step(torch.ones(1, 3))
        found = [p.requires_grad for p in layer.parameters()]
        assert found == [before if x is None else x for x in expected]


def test_a_compiled_function_that_freezes_a_layer_for_a_while_is_replayed(recwarn):
    layer = torch.nn.Linear(3, 2)
    step = torch.compile(lambda x: frozen_for_a_while(layer, x))
    for _ in range(4):
        step(torch.ones(1, 3))
    assert len(step.programs) == 1 and not recwarn.list
