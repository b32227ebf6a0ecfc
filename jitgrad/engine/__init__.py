"""The compiled engine: memory, tape, and the walks over it. See `layout` for the tables."""
