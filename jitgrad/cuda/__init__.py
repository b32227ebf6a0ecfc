"""``torch.cuda`` for scripts that ask: there is no CUDA device."""


def is_available() -> bool:
    """Whether a CUDA device can be used: never."""
    return False


def device_count() -> int:
    """Number of CUDA devices: none."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the (absent) device's generator: does nothing, as PyTorch without CUDA."""


def manual_seed_all(seed: int) -> None:
    """Seed all (absent) devices' generators: does nothing, as PyTorch without CUDA."""


def is_initialized() -> bool:
    """False."""
    return False


def empty_cache() -> None:
    """Nothing."""


def synchronize(device: object = None) -> None:
    """Nothing: there is nothing to wait for."""


def __getattr__(name: str):
    """``torch.cuda.amp``."""
    if name == "amp":
        import importlib

        return importlib.import_module("jitgrad.cuda.amp")
    raise AttributeError(f"module 'jitgrad.cuda' has no attribute '{name}'; jitgrad computes on the CPU")
