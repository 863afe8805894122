"""Time, memory and operations of a callable, and the machine it ran on. Knows nothing of Lipschitz layers."""
