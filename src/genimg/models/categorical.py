"""Draws from categorical distributions with given random numbers."""

from torch import Tensor


def draw_categorical(log_masses: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Values, int64 (N,), of log-masses (N, K) up to a constant, by the inverse of the cumulative distribution.

    Args:
        uniform: random numbers inside (0, 1), float64 (N,), on the CPU.
        temperature: divides the log-masses; 0 takes the likeliest value.
    """
    if temperature == 0:
        return log_masses.argmax(1)
    below = (log_masses.double().cpu() / temperature).softmax(1).cumsum(1)
    values = (uniform.unsqueeze(1) > below).sum(1).clamp_max(log_masses.shape[1] - 1)
    return values.to(log_masses.device)
