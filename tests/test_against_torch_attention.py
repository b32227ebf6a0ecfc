"""Embeddings, attention and transformers give PyTorch's outputs, gradients, names and errors."""

import zlib

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")

DTYPES = {"float32": (2e-5, 1e-5), "float64": (1e-9, 1e-10)}
LIBRARIES = (jitgrad, torch)
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Support for mismatched")


def draw(label, *shape):
    return np.random.default_rng([zlib.crc32(label.encode()), *shape]).standard_normal(shape)


def tensor(lib, array, dtype):
    if array.dtype.kind == "f":
        return lib.tensor(array, dtype=getattr(lib, dtype), requires_grad=True)
    return lib.tensor(array)


def run(lib, call, arrays, dtype, parameters=()):
    """The output and all gradients for a cotangent that is not uniform."""
    tensors = [tensor(lib, a, dtype) for a in arrays]
    output = call(lib, *tensors)
    g = np.cos(np.arange(output.numel(), dtype=float)).reshape(tuple(output.shape)) + 0.3
    output.backward(lib.tensor(g, dtype=getattr(lib, dtype)))
    leaves = [*(t for t in tensors if t.requires_grad), *parameters]
    return [output.detach().numpy(), *(None if t.grad is None else t.grad.numpy() for t in leaves)]


def assert_same(found, expected, dtype):
    rtol, atol = DTYPES[dtype]
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


INDEX = np.random.default_rng(0).integers(0, 7, (4, 6))
STARTS = np.array([0, 5, 5, 17, 24])
CAUSAL = ~np.tri(5, dtype=bool)
PADDING = np.array([[False] * 5, [False, False, False, True, True]])


def attention(**options):
    return lambda lib, q, k, v, *mask: lib.nn.functional.scaled_dot_product_attention(
        q, k, v, *mask, **options
    )


Q, K, V = (draw(n, *s) for n, s in (("q", (2, 4, 5, 6)), ("k", (2, 4, 9, 6)), ("v", (2, 4, 9, 3))))
FUNCTIONS = {
    "embedding": (lambda lib, w: lib.nn.functional.embedding(lib.tensor(INDEX), w, 2), [draw("w", 7, 5)]),
    "torch.embedding": (lambda lib, w: lib.embedding(w, lib.tensor(INDEX), 2), [draw("w", 7, 5)]),
    "embedding max_norm": (
        lambda lib, w: (
            lib.nn.functional.embedding(lib.tensor(INDEX), w.clone().detach(), None, 1.0, 1.5) * w[0]
        ),
        [draw("w", 7, 5)],
    ),
    "embedding by count": (
        lambda lib, w: lib.nn.functional.embedding(lib.tensor(INDEX), w, scale_grad_by_freq=True),
        [draw("w", 7, 5)],
    ),
    **{
        f"bag {mode} {padding} {last}": (
            lambda lib, w, mode=mode, padding=padding, last=last: lib.nn.functional.embedding_bag(
                lib.tensor(INDEX.ravel()),
                w,
                lib.tensor(STARTS),
                mode=mode,
                padding_idx=padding,
                include_last_offset=last,
            ),
            [draw("w", 7, 5)],
        )
        for mode in ("sum", "mean", "max")
        for padding in (None, 3)
        for last in (False, True)
    },
    "bag factors": (
        lambda lib, w, f: lib.nn.functional.embedding_bag(
            lib.tensor(INDEX), w, mode="sum", per_sample_weights=f
        ),
        [draw("w", 7, 5), draw("f", 4, 6)],
    ),
    "attention": (attention(), [Q, K, V]),
    "attention causal": (attention(is_causal=True), [Q, K[:, :, :5], V[:, :, :5]]),
    "attention scale": (attention(scale=0.2), [Q, K, V]),
    "attention mask": (attention(), [Q, K, V, draw("m", 5, 9) > 0]),
    "attention no keys": (attention(), [Q, K, V, np.arange(5)[:, None] * np.ones(9) > 0]),
    "attention added mask": (attention(), [Q, K, V, draw("m", 4, 5, 9)]),
    "attention groups": (attention(enable_gqa=True), [Q, K[:, :2], V[:, :2]]),
    "attention 3-D": (attention(), [Q[0], K[0], V[0]]),
    "attention 2-D": (attention(), [Q[0, 0], K[0, 0], V[0, 0]]),
    "attention broadcast": (attention(), [Q, K[:1], V[0]]),
    "attention wide": (attention(is_causal=True), [draw("long", 1, 2, 130, 40)] * 3),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    call, arrays = FUNCTIONS[name]
    found, expected = (run(lib, call, arrays, dtype) for lib in LIBRARIES)
    assert_same(found, expected, dtype)


def heads(**options):
    return lambda n, d: n.MultiheadAttention(8, 2, dtype=d, **options)


SEQUENCE = [draw("x", 2, 5, 8)]
PAIR = [draw("x", 2, 5, 8), draw("y", 2, 9, 8)]
LAYER = (8, 2, 12, 0.0)
MODULES = {
    "Embedding": (lambda n, d: n.Embedding(7, 5, padding_idx=-2, dtype=d), [INDEX], {}),
    "EmbeddingBag": (lambda n, d: n.EmbeddingBag(7, 5, mode="max", dtype=d), [INDEX], {}),
    "heads": (heads(), [draw("q", 5, 2, 8)] * 3, {}),
    "heads batch_first": (heads(batch_first=True), [*SEQUENCE, PAIR[1], PAIR[1]], {}),
    "heads widths": (
        heads(kdim=3, vdim=4, batch_first=True),
        [*SEQUENCE, draw("k", 2, 9, 3), draw("v", 2, 9, 4)],
        {},
    ),
    "heads extras": (
        heads(add_bias_kv=True, add_zero_attn=True, batch_first=True),
        SEQUENCE * 3,
        {"attn_mask": CAUSAL, "key_padding_mask": PADDING, "need_weights": False},
    ),
    "heads no bias": (heads(bias=False), [draw("q", 5, 8)] * 3, {"attn_mask": CAUSAL}),
    "heads causal": (
        heads(batch_first=True),
        SEQUENCE * 3,
        {"attn_mask": CAUSAL, "is_causal": True, "need_weights": False},
    ),
    "encoder layer": (lambda n, d: n.TransformerEncoderLayer(*LAYER, dtype=d), SEQUENCE, {}),
    "encoder layer options": (
        lambda n, d: n.TransformerEncoderLayer(
            *LAYER, "gelu", 1e-3, batch_first=True, norm_first=True, bias=False, dtype=d
        ),
        SEQUENCE,
        {"src_mask": CAUSAL, "src_key_padding_mask": PADDING},
    ),
    "decoder layer": (
        lambda n, d: n.TransformerDecoderLayer(*LAYER, batch_first=True, dtype=d),
        PAIR,
        {"tgt_mask": CAUSAL, "tgt_is_causal": True},
    ),
    "encoder": (
        lambda n, d: n.TransformerEncoder(
            n.TransformerEncoderLayer(*LAYER, batch_first=True, dtype=d), 2, n.LayerNorm(8, dtype=d)
        ),
        SEQUENCE,
        {"mask": CAUSAL},
    ),
    "transformer": (
        lambda n, d: n.Transformer(8, 2, 2, 2, 12, 0.0, batch_first=True, dtype=d),
        PAIR,
        {"tgt_mask": ~np.tri(9, dtype=bool)},
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, dtype):
    build, arrays, masks = MODULES[name]
    state = {n: draw(n, *v.shape) * 0.4 for n, v in build(torch.nn, torch.float64).state_dict().items()}
    results = []
    for lib in LIBRARIES:
        module = build(lib.nn, getattr(lib, dtype))
        assert list(module.state_dict()) == list(state)
        module.load_state_dict({n: lib.tensor(v, dtype=getattr(lib, dtype)) for n, v in state.items()})
        given = {n: lib.tensor(m) if isinstance(m, np.ndarray) else m for n, m in masks.items()}

        def call(lib, *tensors, module=module, given=given):
            # self-attention: one tensor in all three roles
            same = len(arrays) == 3 and all(a is arrays[0] for a in arrays)
            out = module(*([tensors[0]] * 3 if same else tensors), **given)
            return out[0] if isinstance(out, tuple) else out

        results.append(run(lib, call, arrays, dtype, list(module.parameters())))
    assert_same(*results, dtype)


def test_reprs_and_signatures():
    import inspect

    for name in ("Embedding", "EmbeddingBag", "MultiheadAttention", "TransformerEncoderLayer",
                 "TransformerDecoderLayer", "TransformerEncoder", "TransformerDecoder", "Transformer"):  # fmt: skip
        ours, theirs = (getattr(lib.nn, name) for lib in LIBRARIES)
        for method in ("__init__", "forward"):
            assert list(inspect.signature(getattr(ours, method)).parameters) == list(
                inspect.signature(getattr(theirs, method)).parameters
            ), name
    for build in (
        lambda n: n.Embedding(3, 4, padding_idx=1, max_norm=2.0, scale_grad_by_freq=True),
        lambda n: n.EmbeddingBag(3, 4, mode="sum", padding_idx=1),
        lambda n: n.TransformerEncoderLayer(4, 2),
        lambda n: n.Transformer(4, 2, 1, 1),
    ):
        assert repr(build(jitgrad.nn)) == repr(build(torch.nn))


def attend(lib, q=(2, 3, 4, 5), k=(2, 3, 4, 5), v=(2, 3, 4, 5), mask=None, **options):
    make = lambda s: lib.zeros(*s)  # noqa: E731
    return lib.nn.functional.scaled_dot_product_attention(
        make(q), make(k), make(v), None if mask is None else lib.zeros(*mask), **options
    )


ERRORS = {
    "embedding above": lambda lib: lib.nn.functional.embedding(lib.tensor([3]), lib.ones(3, 2)),
    "embedding below": lambda lib: lib.nn.functional.embedding(lib.tensor([-1]), lib.ones(3, 2)),
    "embedding floats": lambda lib: lib.nn.functional.embedding(lib.ones(1), lib.ones(3, 2)),
    "embedding 1-D": lambda lib: lib.nn.functional.embedding(lib.tensor([1]), lib.ones(3)),
    "embedding padding": lambda lib: lib.nn.functional.embedding(lib.tensor([1]), lib.ones(3, 2), 3),
    "module padding": lambda lib: lib.nn.Embedding(3, 2, padding_idx=3),
    "bag start": lambda lib: lib.nn.functional.embedding_bag(
        lib.tensor([1]), lib.ones(3, 2), lib.tensor([1])
    ),
    "bag mode": lambda lib: lib.nn.functional.embedding_bag(lib.tensor([[1]]), lib.ones(3, 2), mode="x"),
    "attention width": lambda lib: attend(lib, k=(2, 3, 4, 6)),
    "attention mask": lambda lib: attend(lib, mask=(3, 3)),
    "attention dropout": lambda lib: attend(lib, dropout_p=-0.1),
    "attention heads": lambda lib: attend(lib, k=(2, 2, 4, 5), v=(2, 2, 4, 5), enable_gqa=True),
    "heads": lambda lib: lib.nn.MultiheadAttention(5, 2),
    "heads mask": lambda lib: lib.nn.MultiheadAttention(4, 2)(
        *[lib.zeros(3, 1, 4)] * 3, attn_mask=lib.zeros(2, 2)
    ),
    "heads width": lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.zeros(3, 1, 5)] * 3),
    "transformer": lambda lib: lib.nn.Transformer(4, 2, 1, 1)(lib.zeros(3, 2, 4), lib.zeros(3, 1, 4)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_one_class(name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    with pytest.raises(theirs.type):
        ERRORS[name](jitgrad)
