"""Utilities around training; `jitgrad.utils.data` holds data sets and loaders."""

from . import data as data

__all__ = ["data"]
