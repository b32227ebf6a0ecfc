"""Small programs that write in place into views and bases while gradients are recorded.

Each takes the module (jitgrad or PyTorch) and two leaves, `a` of shape (3, 4) and `w` of shape (4,), and returns
tensors whose values and gradients are compared. What they compute from `a` lies in memory as `a` does, so that the
transpose of a leaf has them write to permuted memory.
"""

from __future__ import annotations


def row_times_vector(m, a, w):
    x = a * 1
    x[0].mul_(w)
    return (x,)


def view_is_used_after(m, a, w):
    x = a * 1
    v = x[1]
    v.mul_(w)
    return v * 2, x.sin()


def view_is_used_before_and_after(m, a, w):
    x = a * 2
    v = x[1]
    before = v + 1
    v.add_(w)
    return before, v, x * x


def sibling_views(m, a, w):
    x = a * 1
    first, second = x[0], x[:, 1]
    first.mul_(w)
    return first.sin(), second.sin(), x.exp()


def base_is_written(m, a, w):
    x = a * 1
    v = x[2]
    x.mul_(w)
    return v.sin(), x.cos()


def base_without_gradient(m, a, w):
    x = m.zeros(3, 4, dtype=m.float64)
    v = x[1]
    v.add_(w)
    u = x[:, 0]
    return v * 2, x * 3, u


def view_of_view(m, a, w):
    x = a * 1
    v = x.t()
    u = v[1:3]
    u.mul_(2)
    u.add_(w[:1])
    return u, v.sin(), x.exp()


def setitem_on_a_view(m, a, w):
    x = a * 1
    v = x[1:]
    v[0] = w * w
    v[1, 2:] = w[:2]
    return v.sin(), x * x


def setitem_with_indices_on_a_view(m, a, w):
    x = a * 1
    v = x[:, 1:]
    v[m.tensor([0, 2])] = w[1:] * 2
    return v * v, x.sin()


def reshaped_view(m, a, w):
    x = a * 1
    v = x.view(2, 6)
    v[:, ::2].mul_(3)
    return v.sin(), x * x


def reshaped_temporary(m, a, w):
    v = (a * 1).view(12)
    v[2:6].mul_(w)
    return (v * v,)


def chunks(m, a, w):
    left, right = (a * 1).chunk(2, 1)
    left.mul_(w[:2])
    right.add_(left)
    return left.sin(), right.sin()


def copy_into(m, a, w):
    x = a * 1
    x[1].copy_(w)
    x[:, 2].copy_(a[:, 0] * 2)
    return (x * x,)


def fill_and_zero(m, a, w):
    x = a * w
    x[0].zero_()
    x[1].fill_(3.0)
    return (x * x,)


def several_writes(m, a, w):
    x = a * 1
    for k in range(3):
        x[k].mul_(x[k - 1] + w)
    return (x,)


def running_state(m, a, w):
    out = m.zeros(3, 4, dtype=m.float64)
    state = w * 1
    for k in range(3):
        state = (state + a[k]).tanh()
        out[k] = state
    return out, out[1] * 2


def diagonal(m, a, w):
    x = a * 1
    x.diagonal().mul_(w[:3])
    return (x * x,)


def in_place_chain_on_base_and_view(m, a, w):
    x = a * 1
    v = x[0]
    x.mul_(2)
    v.add_(w)
    x.sin_()
    return v * v, x.exp()


def masked_fill_of_a_view(m, a, w):
    x = a * 1
    x[1:].masked_fill_(m.tensor([True, False, True, False]), 2.0)
    return (x * w,)


def detached_keeps_no_history(m, a, w):
    x = a * 1
    d = x.detach()
    x[0].mul_(w)
    return x * 2, d * w


def views_of_a_detached_tensor_keep_none_either(m, a, w):
    x = a * 1
    d = x.detach()
    v, u = d[0], x.data[:, 1:].t()
    x.mul_(w)
    x[1].add_(w)
    return x * v, u * 1, x[0] * d


def a_detached_tensor_is_written(m, a, w):
    x = a * 1
    row = x[0]
    d = x.detach()
    v, same = d[0], d[:, 1]
    d.mul_(w)
    return d * 1, v.sin(), same * 2, row * w[0], x * 3


def a_view_of_a_detached_tensor_is_written(m, a, w):
    x = a * 1
    row = x[1]
    d = x.detach()
    v = d[1]
    v.mul_(w)
    x[0].mul_(w)
    return v * 2, d.sin(), row * 3, x * 1


def a_view_of_a_detached_buffer(m, a, w):
    x = m.zeros(3, 4, dtype=m.float64)
    v = x.detach()[2]
    x[0] = w * 2
    return x * w, v + w


def a_base_drops_its_history(m, a, w):
    x = a * 1
    v = x[0]
    x.detach_()
    x.mul_(w)
    v.mul_(2)
    return x * 1, v * w


def no_grad_write(m, a, w):
    x = a * 1
    v = x[0]
    with m.no_grad():
        v.mul_(2)
    return v * w, x * 3


def squeezed(m, a, w):
    x = a * 1
    v = x.unsqueeze(0)
    v.mul_(w)
    return v * 2, x.sin()


def index_add(m, a, w):
    x = a * 1
    x[1:].index_add_(0, m.tensor([0, 0]), a[:2] * w)
    return (x.sin(),)


def clamp_and_relu(m, a, w):
    x = a * w
    x[0].clamp_(-0.5, 0.5)
    x[1].relu_()
    return (x * x,)


def expanded_before_the_write(m, a, w):
    x = a * 1
    e, part = w.expand(3, 4), x[1:2, 2:].expand(3, 2)
    v = w * 1
    repeated = v.expand(3, 4)
    v.mul_(2)
    x.mul_(w)
    return e * x, repeated * x, part.sin()


def expanded_between_dimensions(m, a, w):
    x = a * 1
    e = x[:, 1:3].unsqueeze(1).expand(3, 2, 2)[1:]
    x[2] = w
    return e * e, x.sin()


def broadcast_and_filled(m, a, w):
    v = w * 1
    e, _ = m.broadcast_tensors(v, a)
    v.masked_fill_(m.tensor([True, False, False, True]), 3.0)
    v[1] = 9.0
    return (e * a,)


def windows_of_one_element(m, a, w):
    x = a * 1
    v = x[1:].unfold(0, 1, 1)
    v.mul_(2)
    return v.sin(), x * x


def windows_that_share_elements(m, a, w):
    x = a * 1
    windows = x[1:].unfold(1, 3, 1)
    diagonals = x.unfold(0, 2, 1).unfold(1, 3, 1)[..., 1:]
    x.mul_(w)
    x[1, 2] = w[0] * w[1]
    return windows.sin(), diagonals * diagonals, windows.unfold(1, 2, 1).expand(2, 2, 1, 3, 2).exp()


def many_windows_of_two(m, a, w):
    windows = (a * w).view(12).unfold(0, 2, 1)
    return (windows * windows, windows[::2].sin(), windows[:, 0] * 3)


PROGRAMS = {f.__name__: f for f in list(globals().values()) if callable(f) and f.__module__ == __name__}
# these write through views of one dimension, which only memory in order has
IN_ORDER = {"reshaped_view", "reshaped_temporary", "many_windows_of_two"}
LYING = [(name, across) for name in PROGRAMS for across in (False, True) if not (across and name in IN_ORDER)]
