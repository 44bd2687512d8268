"""The Frechet distance between two sets of feature vectors, as between two Gaussians.

    d = |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))

Heusel et al. 2017, eq. 6. Only with the features of Inception-v3 may it be called FID. It depends on the number of
vectors: compare equal numbers only, and beside the same figure of real against real.
"""

import torch
from torch import Tensor


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """The distance, in squared units of the features; symmetric, and 0 for identical sets.

    In float64. The trace comes from the eigenvalues of sqrt(S_a) S_b sqrt(S_a), which is symmetric, so that they are
    real; those that rounding made negative count as 0.

    Args:
        features_a, features_b: (N, D), two vectors or more in each; N may differ.
    """
    a, b = features_a.double(), features_b.double()
    for features in (a, b):
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"features must be (N, D) with N of 2 or more, got {tuple(features.shape)}")
    covariance_a, covariance_b = torch.atleast_2d(torch.cov(a.T)), torch.atleast_2d(torch.cov(b.T))
    values, vectors = torch.linalg.eigh(covariance_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * cross
    return float(distance.clamp_min(0))
