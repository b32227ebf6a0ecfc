"""Functions on lists of tensors do what the tensors' methods do one by one."""

import numpy as np
import pytest

import jitgrad as torch


def tensors(scale=1.0):
    return [torch.tensor([1.0, 2.0, 3.0]) * scale, torch.tensor([[0.5], [4.0]]) * scale]


ALONE = {
    "abs": lambda x: x.abs(), "exp": lambda x: x.exp(), "neg": lambda x: -x, "norm": lambda x: x.norm(),
    "reciprocal": lambda x: 1 / x, "sqrt": lambda x: x.sqrt(), "max": lambda x: x.max(), "sign": lambda x: x.sign(),
}  # fmt: skip
# name: further arguments, those by name, and what is done with element i of each
MORE = {
    "add": ((tensors(2.0),), {"alpha": 3}, lambda x, i: x + 3 * tensors(2.0)[i]),
    "add number": ((1,), {}, lambda x, i: x + 1),
    "add numbers": (([1, 2],), {}, lambda x, i: x + (i + 1)),
    "sub": ((tensors(2.0),), {}, lambda x, i: x - tensors(2.0)[i]),
    "mul by tensor": ((torch.tensor(2.0),), {}, lambda x, i: x * 2),
    "div": ((tensors(2.0),), {}, lambda x, i: x / tensors(2.0)[i]),
    "pow": ((2,), {}, lambda x, i: x * x),
    "clamp_min": ((1.5,), {}, lambda x, i: x.clamp(min=1.5)),
    "clamp_max": ((tensors(0.5),), {}, lambda x, i: torch.minimum(x, tensors(0.5)[i])),
    "maximum": ((2.5,), {}, lambda x, i: x.clamp(min=2.5)),
    "minimum": ((tensors(0.5),), {}, lambda x, i: torch.minimum(x, tensors(0.5)[i])),
    "norm by name": ((), {"ord": 1}, lambda x, i: x.abs().sum()),
    "lerp": ((tensors(3.0), 0.25), {}, lambda x, i: x + 0.25 * (tensors(3.0)[i] - x)),
    "lerp by name": ((), {"tensors1": tensors(3.0), "weight": 0.5}, lambda x, i: (x + tensors(3.0)[i]) / 2),
    "addcmul": ((tensors(), tensors()), {"value": 2}, lambda x, i: x + 2 * tensors()[i] ** 2),
    "addcdiv": ((tensors(), tensors(2.0), [1, 4]), {}, lambda x, i: x + (1, 4)[i] * 0.5),
    "addcdiv by name": ((tensors(), tensors(2.0)), {"scalars": [1, 4]}, lambda x, i: x + (1, 4)[i] * 0.5),
}  # fmt: skip
FUNCTIONS = [(name, (), {}, lambda x, i, f=f: f(x)) for name, f in ALONE.items()]
FUNCTIONS += [(name, *rest) for name, rest in MORE.items()]
NAMES = [case[0] for case in FUNCTIONS]
WITHOUT_PLACE = ("norm", "max")


@pytest.mark.parametrize(("name", "args", "named", "one"), FUNCTIONS, ids=NAMES)
def test_each_tensor_has_its_result(name, args, named, one):
    made = getattr(torch, f"_foreach_{name.split()[0]}")(tensors(), *args, **named)
    assert isinstance(made, tuple)
    for i, (x, y) in enumerate(zip(tensors(), made, strict=True)):
        np.testing.assert_allclose(y.numpy(), one(x, i).numpy(), rtol=1e-6)


IN_PLACE = [case for case in FUNCTIONS if case[0].split()[0] not in WITHOUT_PLACE]


@pytest.mark.parametrize(("name", "args", "named", "one"), IN_PLACE, ids=[case[0] for case in IN_PLACE])
def test_each_tensor_is_written_in_place(name, args, named, one):
    given = tensors()
    assert getattr(torch, f"_foreach_{name.split()[0]}_")(given, *args, **named) is None
    for i, (x, y) in enumerate(zip(tensors(), given, strict=True)):
        np.testing.assert_allclose(y.numpy(), one(x, i).numpy(), rtol=1e-6)


def test_values_are_copied_and_cleared():
    given = tensors()
    torch._foreach_copy_(given, tensors(2.0))
    assert given[0].tolist() == [2.0, 4.0, 6.0]
    torch._foreach_zero_(given)
    assert given[1].tolist() == [[0.0], [0.0]]


def test_a_number_is_raised_to_each_of_many_powers():
    assert [x.tolist() for x in torch._foreach_pow(2.0, [torch.tensor(3.0), torch.tensor([1.0, 0.0])])] == [
        8.0,
        [2.0, 1.0],
    ]


def test_gradients_pass():
    x = torch.ones(2, requires_grad=True)
    torch._foreach_mul([x, x], [2.0, 3.0])[1].sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_an_optimizer_of_lists_runs_in_a_compiled_step():
    found = []
    for compiled in (False, True):
        weights = tensors()
        moments = [torch.zeros_like(w) for w in weights]

        def step(g, weights=weights, moments=moments):
            torch._foreach_lerp_(moments, [w * g for w in weights], 0.1)
            torch._foreach_add_(weights, moments, alpha=-0.5)

        run = torch.compile(step) if compiled else step
        for _ in range(4):
            run(torch.tensor(2.0))
        found.append([w.tolist() for w in weights])
    assert found[0] == found[1]


def test_lists_of_different_length_are_refused_before_anything_is_written():
    given = tensors()
    with pytest.raises(RuntimeError, match=r"_foreach_add_: expected a list of 2, .* got one of 1"):
        torch._foreach_add_(given, tensors()[:1])
    assert given[0].tolist() == [1.0, 2.0, 3.0]


def test_what_is_no_list_or_no_operation_is_refused():
    with pytest.raises(TypeError, match=r"_foreach_exp\(\): expected a list or tuple of tensors"):
        torch._foreach_exp(torch.ones(2))
    with pytest.raises(AttributeError, match="_foreach_nothing"):
        torch._foreach_nothing  # noqa: B018


def test_operands_of_the_steps_in_place_have_names():
    x, one = torch.ones(2), torch.ones(2)
    assert x.lerp_(end=3 * one, weight=0.5).tolist() == [2.0, 2.0]
    assert x.addcmul_(one, tensor2=2 * one, value=3).tolist() == [8.0, 8.0]
    assert x.addcdiv_(tensor1=4 * one, tensor2=2 * one).tolist() == [10.0, 10.0]
    with pytest.raises(TypeError, match=r"lerp_\(\) missing 1 required positional argument: 'weight'"):
        x.lerp_(one)
    with pytest.raises(TypeError, match=r"lerp_\(\) got an unexpected keyword argument 'other'"):
        x.lerp_(other=one, weight=0.5)
    with pytest.raises(TypeError, match=r"lerp_\(\) got multiple values for argument 'end'"):
        x.lerp_(one, end=one, weight=0.5)
