"""How many elements lie in each part of a range: declared here, the loops are in `kernels.histogram_loops`.

The operand is contiguous. Output 1 is int64 working memory, as long as the result. Attribute words: how many parts, the
range as float bits, the same twice for that of the elements, where to report one that is not finite, which refusal.
"""

from __future__ import annotations

from .table import VALUES, array_op, loops

array_op("histc", ("x",), loops("histogram_loops", "histc"), outputs=2, reports=VALUES)
