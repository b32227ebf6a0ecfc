"""``torch.cuda.amp``: what `jitgrad.amp` has, for the device CUDA, which is not there."""

from __future__ import annotations

from typing import Any

from jitgrad import amp


class autocast(amp.autocast):
    """A context, or a decorator, in which nothing changes; see `jitgrad.amp.autocast`."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """A scaler that leaves losses as they are; see `jitgrad.amp.GradScaler`."""

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
