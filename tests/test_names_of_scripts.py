"""Names that models and optimizers of scripts mention: sparse gradients, scripting, several GPUs, layers' bases."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn


def test_scripts_learn_that_a_tensor_is_an_ordinary_one():
    x = nn.Parameter(torch.ones(2))
    kinds = ("sparse", "sparse_csr", "quantized", "meta", "cuda", "mps", "nested", "mkldnn")
    assert not any(getattr(x, f"is_{kind}") for kind in kinds)
    assert x.layout == torch.strided and x.name is None
    assert torch.zeros(1, layout=torch.strided).shape == (1,)


@pytest.mark.parametrize(
    "name", ["sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"]
)
def test_other_layouts_can_be_compared_with_and_not_asked_for(name):
    other, x = getattr(torch, name), torch.ones(2)
    assert x.layout != other and repr(other).strip("'") == f"torch.{name}"
    calls = {
        "zeros": lambda **k: torch.zeros(2, **k), "ones": lambda **k: torch.ones(2, **k),
        "empty": lambda **k: torch.empty(2, **k), "full": lambda **k: torch.full((2,), 1.0, **k),
        "zeros_like": lambda **k: torch.zeros_like(x, **k), "full_like": lambda **k: torch.full_like(x, 1.0, **k),
        "rand_like": lambda **k: torch.rand_like(x, **k), "randint_like": lambda **k: torch.randint_like(x, 9, **k),
        "arange": lambda **k: torch.arange(2, **k), "linspace": lambda **k: torch.linspace(0, 1, 2, **k),
        "eye": lambda **k: torch.eye(2, **k),
    }  # fmt: skip
    for function, call in calls.items():
        assert call(layout=torch.strided).layout == torch.strided
        with pytest.raises(
            RuntimeError, match=rf"{function}: expected layout=torch.strided, got torch.{name}"
        ):
            call(layout=other)


def test_an_optimizer_that_asks_for_sparse_gradients_steps():
    class Plain(torch.optim.Optimizer):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad.data.is_sparse:
                        raise RuntimeError("no sparse gradients")
                    p.data.add_(p.grad.data, alpha=-group["lr"])

    w = torch.ones(2, requires_grad=True)
    optimizer = Plain([w], {"lr": 0.5})

    @torch.compile(fullgraph=True)
    def step():
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    step()
    step()
    assert w.tolist() == [0.0, 0.0]


def test_fans_for_layers_of_ones_own():
    w = torch.empty(3, 4, 5)
    assert nn.init._calculate_fan_in_and_fan_out(w) == (20, 15)
    assert [nn.init._calculate_correct_fan(w, mode) for mode in ("fan_in", "FAN_OUT")] == [20, 15]
    with pytest.raises(ValueError, match="not supported"):
        nn.init._calculate_correct_fan(w, "fan")


def test_what_is_scripted_or_traced_is_what_it_was():
    @torch.jit.script
    def gate(x):
        return torch.sigmoid(x)

    class Model(nn.Module):
        @torch.jit.unused
        def helper(self, x):
            return x + 1

        @torch.jit.ignore(drop=True)
        def other(self, x):
            return self.helper(x)

        @torch.jit.export
        def forward(self, x):
            return x if torch.jit.is_scripting() or torch.jit.is_tracing() else self.other(gate(x))

    model = Model()
    assert torch.jit.trace(model, torch.zeros(1)) is model is torch.jit.script(model)
    assert model(torch.zeros(1)).item() == 1.5 and torch.jit.annotate(int, 3) == 3
    assert issubclass(Model, torch.jit.ScriptModule) and not hasattr(torch.jit, "load")


def test_a_step_knows_that_it_is_recorded():
    seen = []

    def step(x):
        seen.append(torch.compiler.is_compiling())
        return x + 1

    assert step(torch.ones(1)).item() == 2
    torch.compile(step)(torch.ones(1))
    torch.compiler.reset()
    assert seen[:2] == [False, True]


def test_what_the_compiler_is_to_leave_alone_runs_in_every_call():
    calls = []

    @torch.compiler.disable(recursive=False)
    def watch(x):
        calls.append(x.item())
        return x

    step = torch.compile(lambda x: watch(x) + 1)
    with pytest.warns(RuntimeWarning, match=r"compiler\.disable keeps in Python"):
        step(torch.ones(1))
    step(torch.ones(1) * 2)
    assert calls == [1.0, 2.0] and torch.compiler.disable(abs)(-3) == 3


def test_there_is_no_version_of_cuda():
    assert torch.version.cuda is torch.version.hip is None and torch.version.__version__ == torch.__version__


def test_data_parallel_is_the_model_one_level_down():
    model = nn.Linear(2, 1)
    wrapped = nn.DataParallel(model, device_ids=[0])
    assert wrapped.module is model and list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    assert torch.equal(wrapped(torch.ones(1, 2)), model(torch.ones(1, 2)))
    assert isinstance(wrapped, torch.nn.parallel.DataParallel)


def test_the_kind_of_attention_may_be_asked_for():
    from jitgrad.nn.attention import SDPBackend, sdpa_kernel

    x = torch.ones(1, 2, 3, 4)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], set_priority=True):
        assert torch.equal(nn.functional.scaled_dot_product_attention(x, x, x), x)


def test_the_bases_of_layers_have_pytorchs_names():
    from jitgrad.nn.modules.batchnorm import _NormBase
    from jitgrad.nn.modules.conv import _ConvTransposeNd
    from jitgrad.nn.modules.dropout import _DropoutNd

    assert isinstance(nn.Dropout2d(), _DropoutNd) and isinstance(nn.InstanceNorm1d(2), _NormBase)
    assert isinstance(nn.ConvTranspose1d(1, 1, 1), _ConvTransposeNd)
    assert not isinstance(nn.Conv1d(1, 1, 1), _ConvTransposeNd)


@pytest.mark.parametrize("name", ["complex32", "complex64", "complex128", "chalf", "cfloat", "cdouble"])
def test_complex_dtypes_are_named_and_compared_but_not_used(name):
    kind = getattr(torch, name)
    assert torch.ones(1).dtype not in (kind,)
    with pytest.raises(TypeError, match="expected a dtype among"):
        torch.ones(1, dtype=kind)
