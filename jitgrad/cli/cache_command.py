"""``jitgrad cache``: where compiled kernels are kept, and how to drop them."""

from __future__ import annotations

import argparse

from .errors import CommandError


def run(options: argparse.Namespace) -> int:
    """Print the folder of the kernel cache, or empty it."""
    from ..kernels import cache

    if options.action == "path":
        print(cache.root())
        return 0
    count = cache.clear()
    left = len(cache.files())
    if left:
        raise CommandError(
            f"cannot delete {left} of the files in {str(cache.root())!r}; check its permissions"
        )
    print(f"deleted {count} compiled kernels from {cache.root()}")
    return 0
