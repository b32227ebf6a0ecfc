"""Functions on tensors, with PyTorch's names. Importing this package attaches the methods of `Tensor`."""
