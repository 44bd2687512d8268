"""The Frechet distance between two sets of feature vectors, each treated as a Gaussian distribution.

    d = |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))

Heusel et al. 2017, eq. 6. It is called FID only with Inception-v3 features. It depends on the number of vectors:
compare values of equal numbers only, beside the distance between two sets of real images.
"""

import math

import torch
from torch import Tensor


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Returns the distance in squared units of the features. It is symmetric, and 0 for identical sets.

    Computed in float64. With S = X^T X for centred and scaled features X, the eigenvalues of S_a S_b are the squared
    singular values of X_a X_b^T. With more vectors than features, the eigenvalues of the symmetric matrix
    sqrt(S_a) S_b sqrt(S_a) are cheaper; eigenvalues that rounding made negative are set to 0.

    Args:
        features_a, features_b: (N, D) with N of 2 or more; N may differ.
    """
    a, b = features_a.double(), features_b.double()
    for features in (a, b):
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"features must be (N, D) with N of 2 or more, got {tuple(features.shape)}")
    x_a, x_b = ((features - features.mean(0)) / math.sqrt(len(features) - 1) for features in (a, b))
    if min(len(a), len(b)) < a.shape[1]:  # S is singular, and eigh may not converge
        cross = torch.linalg.svdvals(x_a @ x_b.T).sum()
    else:
        values, vectors = torch.linalg.eigh(x_a.T @ x_a)
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        cross = torch.linalg.eigvalsh(root @ (x_b.T @ x_b) @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + x_a.square().sum() + x_b.square().sum() - 2 * cross
    return float(distance.clamp_min(0))
