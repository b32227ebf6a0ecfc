"""A module with a value that tests of compiled functions change: see test_compile_reads.py."""

NOW = 1.0
