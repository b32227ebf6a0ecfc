"""The benchmark suite: ``jitgrad bench``, or ``pytest benchmarks --benchmark-only``.

Its files import one another by their plain names, because peers run them under interpreters that may have no
jitgrad: the folder is on the path of whoever uses them, not its parent.
"""
