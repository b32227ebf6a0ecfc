"""Gradients of what a compiled function returns: a second program walks back from there."""
