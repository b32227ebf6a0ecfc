"""Many steps in one compiled call: rows around a program point it at batches and keep its results."""
