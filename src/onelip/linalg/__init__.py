"""Pure functions on tensors with leading batch dimensions: kernels, orthogonal matrices, norms."""
