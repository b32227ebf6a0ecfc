"""Memory: what is freed and when, and what stays valid."""

from __future__ import annotations

import gc
import weakref
from array import array

import numpy as np
import pytest
from usage import usage

import jitgrad as torch
from jitgrad.engine import layout
from jitgrad.engine.entry import entries
from jitgrad.store import Store, store

BLOCK = 64  # bytes of the smallest block


def test_dropping_a_result_frees_its_graph():
    x = torch.ones(100, requires_grad=True)
    before = usage()
    y = (x * 2).sin().exp().sum()
    assert usage().rows == before.rows + 4
    del y
    assert usage() == before


def test_intermediates_that_nobody_reads_are_freed_at_once():
    x = torch.ones(1000, requires_grad=True)
    before = usage()
    y = x + 1  # nothing of a sum is needed for the way back
    y = y + 1
    y = y + 1
    held = usage()
    assert held.rows == before.rows + 3
    assert held.bytes - before.bytes <= 1024 * 4 * 1 + 3 * BLOCK
    del y
    assert usage() == before


def test_backward_frees_values_as_it_passes_them():
    """The peak of a walk is the values of the forward pass and a few gradients."""
    count, size = 50, 10_000
    x = torch.ones(size, requires_grad=True)
    y = x
    before = usage()
    for _ in range(count):
        y = y.sin()
    forward = usage().bytes - before.bytes
    assert forward >= count * size * 4
    system = store.field("system_allocations")
    y.backward(torch.ones(size))
    # blocks of the forward pass are used again for gradients: the system gives at most a few more
    assert store.field("system_allocations") - system <= 4
    del y
    after = usage()
    assert after.rows == before.rows
    assert after.bytes - before.bytes <= size * 4 * 1.25 + BLOCK  # x.grad


def test_backward_leaves_nothing_but_gradients():
    w = torch.ones(3, 4, requires_grad=True)
    b = torch.ones(3, requires_grad=True)
    x = torch.ones(5, 4)
    ((torch.nn.functional.linear(x, w, b).relu() ** 2).mean()).backward()
    w.grad = b.grad = None
    before = usage()
    loss = (torch.nn.functional.linear(x, w, b).relu() ** 2).mean()
    loss.backward()
    del loss
    w.grad = b.grad = None
    assert usage() == before


@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_loop_that_forgets_no_grad_runs_in_constant_memory(count):
    x = torch.ones(16, requires_grad=True)
    y = x * 1.0001
    before = usage()
    slots, words = store.field("slot_count"), store.field("tape_words")
    system = store.field("system_allocations")
    for _ in range(count):
        y = x * 1.0001
    assert usage() == before
    assert store.field("slot_count") == slots
    assert store.field("tape_words") == words
    assert store.field("system_allocations") == system
    y.backward(torch.ones(16))
    np.testing.assert_allclose(x.grad.numpy(), 1.0001, rtol=1e-6)


def test_a_loop_beside_an_old_graph_runs_in_constant_memory():
    """Rows die above one that lives: the tape closes its gaps."""
    x = torch.ones(16, requires_grad=True)
    old = (x * 3).sum()
    graphs = [(x * k).sum() for k in range(3)]
    words = store.field("tape_words")
    before = usage()
    for k in range(50_000):
        graphs[k % 3] = (x * 0.5).sum()
    assert usage().rows == before.rows
    assert store.field("tape_words") == words
    old.backward()
    assert x.grad.tolist() == [3.0] * 16
    for graph in graphs:
        graph.backward()
    assert x.grad.tolist() == [4.5] * 16


def test_long_chains_are_freed_without_recursion():
    x = torch.ones(2, requires_grad=True)
    before = usage()
    y = x
    for _ in range(100_000):
        y = y + 1
    assert usage().rows == before.rows + 100_000
    del y
    assert usage() == before


def test_long_chains_are_walked_without_recursion():
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.backward(torch.tensor([1.0, 2.0]))
    assert x.grad.tolist() == [1.0, 2.0]


def test_held_scalar_losses_cost_slots_and_small_blocks():
    x = torch.ones(64, requires_grad=True)
    before = usage()
    losses = [x.detach().sum() for _ in range(100_000)]
    held = usage()
    assert held.slots - before.slots == 100_000
    assert held.bytes - before.bytes == 100_000 * BLOCK
    assert held.words == before.words
    del losses
    assert usage() == before


def test_held_losses_after_backward_keep_no_graph():
    x = torch.ones(64, requires_grad=True)
    (x * 1.5).sum().backward()
    before = usage()
    losses = []
    for _ in range(1000):
        loss = (x * 1.5).sum()
        loss.backward()
        losses.append(loss)
    del loss
    held = usage()
    assert held.rows == before.rows
    assert held.slots - before.slots == 1000
    assert held.bytes - before.bytes == 1000 * BLOCK


def test_freed_blocks_are_used_again():
    sizes = [1, 20, 100, 5_000, 40_000]
    for size in sizes:
        torch.empty(size)
    system = store.field("system_allocations")
    for _ in range(100):
        for size in sizes:
            torch.empty(size)
    assert store.field("system_allocations") == system


# memory shared with NumPy ---------------------------------------------------------------------------------


def test_numpy_result_outlives_the_tensor():
    x = torch.arange(1000, dtype=torch.float32)
    values = x.numpy()
    before = usage()
    del x
    assert usage().bytes == before.bytes
    others = [torch.zeros(1000) for _ in range(20)]  # would land in a freed block
    np.testing.assert_array_equal(values, np.arange(1000))
    del values, others
    assert usage().bytes < before.bytes


def test_numpy_result_of_an_intermediate_outlives_its_graph():
    x = torch.ones(50, requires_grad=True)
    values = (x * 3).detach().numpy()
    [torch.zeros(50) for _ in range(10)]
    assert (values == 3).all()


def test_numpy_result_shares_memory_both_ways():
    x = torch.zeros(2, 3)
    values = x.numpy()
    values[0, 1] = 5
    x[1, 2] = 7
    assert x.tolist() == [[0, 5, 0], [0, 0, 7]]
    assert values.tolist() == x.tolist()


def test_memory_that_came_from_numpy_is_shared_and_let_go():
    class Owner(np.ndarray):
        pass

    array = np.zeros(100, np.float32).view(Owner)
    gone = weakref.ref(array)
    x = torch.from_numpy(array)
    view = x[10:20]
    array[12] = 4
    assert view[2].item() == 4
    x[13] = 6
    assert array[13] == 6
    del array, x
    gc.collect()
    assert gone() is not None  # a view still shows it
    del view
    torch.from_numpy(np.zeros(1, np.float32))  # the next call from Python lets go
    gc.collect()
    store.drop_externals()
    assert gone() is None


def test_gradient_keeps_its_memory_after_the_leaf_is_gone():
    x = torch.ones(100, requires_grad=True)
    (x * 2).sum().backward()
    gradient = x.grad
    del x
    [torch.zeros(100) for _ in range(10)]
    assert (gradient.numpy() == 2).all()


def test_views_keep_the_storage_of_a_base_that_is_gone():
    x = torch.arange(10.0)
    view = x[2:4]
    del x
    [torch.zeros(10) for _ in range(10)]
    assert view.tolist() == [2.0, 3.0]


def test_tensor_in_a_reference_cycle_is_freed():
    before = usage()
    x = torch.ones(10)
    x.itself = x
    assert usage().slots == before.slots + 1
    del x
    assert usage() == before


def test_tables_grow_while_thousands_of_graphs_are_alive():
    x = torch.ones(2, requires_grad=True)
    before = usage()
    graphs = [(x * float(k)).sum() for k in range(20_000)]
    assert usage().rows == before.rows + 40_000
    graphs[12_345].backward()
    assert x.grad.tolist() == [12_345.0] * 2
    del graphs
    x.grad = None
    assert usage() == before


def test_tables_move_when_their_address_space_is_used_up():
    small = Store(slots=128, tape_words=1024)
    shape = array("q", (3,))

    def empty():
        while True:
            slot = entries.empty(small.context, 5, 1, shape.buffer_info()[0], 1)
            if slot > 0:
                return slot
            assert small.mend(slot)

    made = [empty() for _ in range(5000)]
    assert len(set(made)) == 5000
    assert small.field("slot_count") - small.field("free_slots") == 5001  # slot 0 stands for none
    assert len(small.slot_table) >= 5001
    for slot in made:
        assert small.slot_table[slot]["shape"][0] == 3
        assert small.slots[slot * layout.SLOT_WORDS + layout.S_DTYPE] == 5
        entries.release(small.context, slot)
    assert small.field("bytes") == 0
    words = small.field("tape_words")
    small.grow_tape(4 * words)
    assert small.field("tape_words") == 4 * words


def test_free_entries_of_the_slot_table_are_what_they_say():
    """The list of free slots has as many entries as are counted, and none twice."""
    things = [torch.ones(k % 7) for k in range(500)]
    del things[::2]
    gc.collect()
    seen, slot = set(), store.field("free_slot")
    while slot > 0:
        assert slot not in seen
        seen.add(slot)
        slot = int(store.slot_table[slot]["next"])
    assert len(seen) == store.field("free_slots")


def _all_but(free):
    """Tensors that leave so many storages in the table, as it is."""
    following, count, storage = store.storage_table["next"].tolist(), 0, store.field("free_storage")
    while storage > 0:
        count, storage = count + 1, following[storage]
    return [torch.ones(1) for _ in range(count - free)]


def test_the_table_of_storages_grows_when_it_has_too_few_for_all_outputs_of_a_call():
    x = torch.eye(2)
    torch.linalg.svd(x)
    kept = _all_but(2)
    u, s, vh = torch.linalg.svd(x)
    assert ((u * s) @ vh).tolist() == x.tolist() and kept[-1].item() == 1
