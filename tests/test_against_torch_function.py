"""Custom functions, hooks, modes and checks: the same script with jitgrad and with PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitgrad

pytorch = pytest.importorskip("torch")


def both(script):
    """What a script notes with each library; an error is noted by its class."""
    found = []
    for torch in (jitgrad, pytorch):
        log = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                script(torch, log)
            except Exception as error:
                log.append(type(error).__name__.replace("GradcheckError", "RuntimeError"))
        found.append(log)
    return found


def square(torch, note=lambda *a: None):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale=1.0):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x * x * scale

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            note(ctx.needs_input_grad)
            return 2 * x * g * ctx.scale, None

    return Square


def function(torch, forward, backward):
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Made", (torch.autograd.Function,), body)


def custom(torch, log):
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    made = square(torch, lambda n: log.append(n))
    y = made.apply(x, 3.0)
    log.append((type(y.grad_fn).__name__, y.grad_fn.name(), y.requires_grad))
    y.sum().backward()
    log.append(x.grad.tolist())


def custom_second(torch, log):
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    y = square(torch).apply(x, 3.0)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((g * g).sum(), x)
    log += [g.tolist(), h.tolist()]


def materialized(torch, log):
    def forward(ctx, x, on):
        ctx.set_materialize_grads(on)
        return x * 2, x * 3

    def backward(ctx, *g):
        log.append([None if t is None else t.tolist() for t in g])
        return g[1] * 3, None

    for on in (True, False):
        x = torch.tensor([1.0], requires_grad=True)
        function(torch, forward, backward).apply(x, on)[1].backward()
        log.append(x.grad.tolist())


def returned_input(torch, log):
    made = function(torch, lambda ctx, x: x, lambda ctx, g: g * 5)
    for x in (torch.ones(1), torch.ones(1, requires_grad=True)):
        y = made.apply(x)
        log.append((y is x, y.requires_grad, y.is_leaf))


def dirty(torch, log):
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    x = torch.ones(2, requires_grad=True)
    h = x * 3
    y = function(torch, forward, lambda ctx, g: g * 2).apply(h)
    y.sum().backward()
    log += [y is h, h.tolist(), x.grad.tolist()]


def bad(forward, backward, *others):
    def script(torch, log):
        x = torch.ones(2, requires_grad=True)
        made = function(torch, forward(torch), backward(torch))
        made.apply(x, *others).sum().backward()
        log.append(x.grad.tolist())

    return script


def tensor_hooks(torch, log):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    h.retain_grad()
    h.register_hook(lambda g: log.append(("h", g.tolist())) or g * 2)
    handle = h.register_hook(lambda g: log.append(("h2", g.tolist())))
    x.register_hook(lambda g: log.append(("x", g.tolist())))
    x.register_post_accumulate_grad_hook(lambda p: log.append(("after", p.grad.tolist())))
    y = (h * h).sum()
    y.backward(retain_graph=True)
    handle.remove()
    y.backward()
    log += [x.grad.tolist(), h.grad.tolist()]


def hooks_and_grad(torch, log):
    x = torch.tensor([1.0], requires_grad=True)
    h = x * 3
    h.register_hook(lambda g: log.append(("h", g.tolist())) or g * 2)
    x.register_hook(lambda g: log.append(("x", g.tolist())) or g * 5)
    x.register_post_accumulate_grad_hook(lambda p: log.append("after"))
    y = h * h
    log.append([g.tolist() for g in torch.autograd.grad(y, [h], retain_graph=True)])
    log.append([g.tolist() for g in torch.autograd.grad(y, [x], create_graph=True)])


def node_hooks(torch, log):
    x = torch.tensor([2.0], requires_grad=True)
    y = x * x
    y.grad_fn.register_prehook(lambda outs: log.append([g.item() for g in outs]) or (outs[0] * 3,))
    y.grad_fn.register_hook(lambda ins, outs: log.append([g.item() for g in (*ins, *outs)]))
    y.backward()
    log.append(x.grad.tolist())


def hook_in_place(torch, log):
    x = torch.ones(1, requires_grad=True)
    h = x * 2
    h.register_hook(lambda g: log.append(("before", g.tolist())))
    h.mul_(10)
    h.register_hook(lambda g: log.append(("after", g.tolist())))
    (h * 3).backward()


def bad_hook(returned):
    def script(torch, log):
        x = torch.ones(2, requires_grad=True)
        x.register_hook(returned)
        (x * 2).sum().backward()
        log.append(x.grad.tolist())

    return script


def step_hooks(torch, log):
    w = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    optimizer.register_step_pre_hook(lambda o, a, k: log.append(("pre", len(a), sorted(k))))
    handle = optimizer.register_step_post_hook(lambda o, a, k: log.append("post"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, s: log.append(sorted(s)))
    optimizer.register_load_state_dict_post_hook(lambda o: log.append("loaded"))
    (w * 2).backward()
    optimizer.step()
    handle.remove()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    log.append(w.detach().numpy().round(5).tolist())


def anomaly(torch, log):
    x = torch.zeros(2, requires_grad=True)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        (x.sqrt() * 0).sum().backward()
    log.append(str(caught.value)[: len("Function 'SqrtBackward0' returned nan values in its 0th output.")])


def saved_hooks(torch, log):
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(lambda t: log.append(("pack", t.tolist())) or t, lambda t: log.append("unpack") or t * 10):
        y = x.exp()
    y.sum().backward()
    log.append(np.round(x.grad.numpy(), 3).tolist())


def saved_hooks_bad(torch, log):
    x = torch.ones(2, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x.exp()
    y.sum().backward()


def checkpoints(torch, log):
    checkpoint = __import__(f"{torch.__name__}.utils.checkpoint", fromlist=["checkpoint"]).checkpoint
    for reentrant in (True, False):
        x, w = torch.tensor([0.5, 1.0], requires_grad=True), torch.tensor([2.0, 3.0], requires_grad=True)

        def part(x, w=w, log=log):
            log.append("run")
            return (x * w).exp() * x

        checkpoint(part, x, use_reentrant=reentrant).sum().backward()
        log += [np.round(x.grad.numpy(), 4).tolist(), np.round(w.grad.numpy(), 4).tolist()]
    y = checkpoint(lambda x: (x * w).exp(), x, use_reentrant=True)
    torch.autograd.grad(y.sum(), x)


def checks(torch, log):
    wrong = function(torch, lambda ctx, x: x * x, lambda ctx, g: g)
    x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    check, second = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    for fast in (False, True):
        log.append(check(lambda x: (x.sin(), x.sum()), (x,), fast_mode=fast))
        log.append(second(lambda x: x.sin() * x, (x,), fast_mode=fast))
        log.append(check(wrong.apply, (x,), raise_exception=False, fast_mode=fast))
    check(wrong.apply, (x,))


def check_of_nothing(torch, log):
    torch.autograd.gradcheck(lambda x: x, (torch.ones(2),))


def modes(torch, log):
    x = torch.ones(1, requires_grad=True)

    def look():
        log.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), (x * 2).requires_grad))

    switches = [
        torch.no_grad, torch.enable_grad, torch.inference_mode, lambda: torch.inference_mode(False),
        lambda: torch.set_grad_enabled(True), lambda: torch.set_grad_enabled(False),
    ]  # fmt: skip
    for outer in switches:
        for inner in switches:
            with outer():
                with inner():
                    look()
                    for last in switches:
                        last()(look)()
                look()
        look()


def flushing(torch, log):
    def look():
        x = torch.full((20,), 1e-20, requires_grad=True)
        y = x * x
        (y * 1e-20).sum().backward()
        log.append((y.tolist(), x.grad.tolist(), (y + 1e-30).tolist()))
        log.append((torch.full((4, 4), 1e-20) @ torch.full((4, 4), 1e-20)).tolist())

    try:
        for mode in (True, False):
            log.append(torch.set_flush_denormal(mode))
            look()
    finally:
        torch.set_flush_denormal(False)


def inference(operation):
    def script(torch, log):
        x = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            c = torch.ones(2) * 3
        y = operation(torch, x, c)
        log.append((y.requires_grad, y.is_inference(), y.tolist()))

    return script


def edges(torch, log):
    x = torch.tensor([2.0], requires_grad=True)
    h = x * 3
    edge = torch.autograd.graph.get_gradient_edge(h)
    log.append((edge.node.name(), edge.output_nr))
    log.append(torch.autograd.grad(h * h, edge)[0].tolist())
    torch.autograd.graph.get_gradient_edge(torch.ones(1))


def after_the_walk(torch, log):
    y = square(torch).apply(torch.ones(1, requires_grad=True), 1.0)
    y.backward()
    _ = y.grad_fn.saved_tensors


double = lambda torch: lambda ctx, x, *others: x * 2  # noqa: E731

SCRIPTS = {
    "custom": custom,
    "second gradients": custom_second,
    "materialized": materialized,
    "argument returned": returned_input,
    "dirty": dirty,
    "subnormal numbers": flushing,
    "after the walk": after_the_walk,
    "too many": bad(double, lambda torch: lambda ctx, g: (g, g)),
    "too many, all None": bad(double, lambda torch: lambda ctx, g: (g * 2, None, None)),
    "too few": bad(double, lambda torch: lambda ctx, g: g, 3),
    "wrong shape": bad(double, lambda torch: lambda ctx, g: torch.ones(3)),
    "broadcast shape": bad(double, lambda torch: lambda ctx, g: torch.ones(3, 2)),
    "not a tensor": bad(double, lambda torch: lambda ctx, g: 1.0),
    "a list": bad(double, lambda torch: lambda ctx, g: [g]),
    "for a number": bad(double, lambda torch: lambda ctx, g: (g, g), 3),
    "another dtype": bad(double, lambda torch: lambda ctx, g: g.double()),
    "no backward": bad(double, lambda torch: torch.autograd.Function.backward),
    "saves a number": bad(lambda torch: lambda ctx, x: ctx.save_for_backward(3), lambda torch: None),
    "marks a number": bad(lambda torch: lambda ctx, x: ctx.mark_non_differentiable(3), lambda torch: None),
    "dirty, not returned": bad(
        lambda torch: lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1], lambda torch: lambda ctx, g: g
    ),
    "tensor hooks": tensor_hooks,
    "hooks and grad": hooks_and_grad,
    "node hooks": node_hooks,
    "hook and write": hook_in_place,
    "hook returns a number": bad_hook(lambda g: 3.0),
    "hook returns a dtype": bad_hook(lambda g: g.double()),
    "hook returns a shape": bad_hook(lambda g: g.reshape(2, 1)),
    "hook returns None": bad_hook(lambda g: None),
    "step hooks": step_hooks,
    "anomaly": anomaly,
    "saved hooks": saved_hooks,
    "saved hooks, no tensor": saved_hooks_bad,
    "checkpoints": checkpoints,
    "checks": checks,
    "check of nothing": check_of_nothing,
    "modes": modes,
    "edges": edges,
    "inference multiplied": inference(lambda torch, x, c: x * c),
    "inference added": inference(lambda torch, x, c: x + c),
    "inference written": inference(lambda torch, x, c: c.add_(1)),
    "inference viewed": inference(lambda torch, x, c: c.reshape(2, 1)),
    "inference cloned": inference(lambda torch, x, c: x * c.clone()),
    "inference required": inference(lambda torch, x, c: c.requires_grad_()),
    "inference alone": inference(lambda torch, x, c: c * c),
    "hook on a constant": inference(lambda torch, x, c: torch.ones(1).register_hook(print)),
    "hook on an intermediate": inference(
        lambda torch, x, c: (x * 1).register_post_accumulate_grad_hook(print)
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_note_the_same(name):
    ours, theirs = both(SCRIPTS[name])
    assert ours == theirs
    assert ours
