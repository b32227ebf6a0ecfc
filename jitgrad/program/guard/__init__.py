"""Guards: what of Python's world a program depends on, and whether it is still so.

`search` finds it, by the names in the user's code (`words`, `owners`) and by what runs or is held without being named
there (`unnamed`, `patches`, `inside`). `reading` compares it in Python before a call; what hardly ever changes compiled
code compares (`watch`, `cpython`). `world` has both, and `guards` adds the state of modules and optimizers.
"""
