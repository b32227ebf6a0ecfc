"""How tensors print: PyTorch's text."""
