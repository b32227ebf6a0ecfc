"""``python -m jitgrad``: the same as the command ``jitgrad``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
