"""Functions of other files, as the module has them: with an argument ``out=``, which methods do not have."""

from __future__ import annotations

from . import (
    contractions,
    extremes,
    gathering,
    indexed_slices,
    joining,
    masking,
    matrices,
    moving,
    norms,
    older_names,
    scans,
    sorting,
)
from ._out import takes_alike_out, takes_outs

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "column_stack",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "diag",
    "dot",
    "dstack",
    "gather",
    "ger",
    "hstack",
    "index_select",
    "inner",
    "kron",
    "kthvalue",
    "logcumsumexp",
    "logsumexp",
    "masked_select",
    "max",
    "min",
    "mode",
    "mv",
    "outer",
    "renorm",
    "row_stack",
    "sort",
    "take_along_dim",
    "topk",
    "tril",
    "triu",
    "vdot",
    "vstack",
]

kron = takes_alike_out(contractions.kron)
gather = takes_alike_out(gathering.gather)
index_select = takes_alike_out(indexed_slices.index_select)
column_stack = takes_alike_out(joining.column_stack)
dstack = takes_alike_out(joining.dstack)
hstack = takes_alike_out(joining.hstack)
row_stack = vstack = takes_alike_out(joining.vstack)
masked_select = takes_alike_out(masking.masked_select)
take_along_dim = takes_alike_out(masking.take_along_dim)
addbmm = takes_alike_out(matrices.addbmm)
addmm = takes_alike_out(matrices.addmm)
addmv = takes_alike_out(matrices.addmv)
addr = takes_alike_out(matrices.addr)
baddbmm = takes_alike_out(matrices.baddbmm)
dot = takes_alike_out(matrices.dot)
inner = takes_alike_out(matrices.inner)
mv = takes_alike_out(matrices.mv)
ger = outer = takes_alike_out(matrices.outer)
vdot = takes_alike_out(matrices.vdot, name="vdot")
diag = takes_alike_out(moving.diag)
tril = takes_alike_out(moving.tril)
triu = takes_alike_out(moving.triu)
logsumexp = takes_alike_out(norms.logsumexp)
renorm = takes_alike_out(older_names.renorm)
cumprod = takes_alike_out(scans.cumprod)
cumsum = takes_alike_out(scans.cumsum)
logcumsumexp = takes_alike_out(scans.logcumsumexp)
max = takes_outs(extremes.max)
min = takes_outs(extremes.min)
cummax = takes_outs(scans.cummax)
cummin = takes_outs(scans.cummin)
kthvalue = takes_outs(sorting.kthvalue)
mode = takes_outs(sorting.mode)
sort = takes_outs(sorting.sort)
topk = takes_outs(sorting.topk)
