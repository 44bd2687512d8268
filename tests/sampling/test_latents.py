"""Truncation and interpolation of latents."""

import math

import torch

from genimg.sampling.latents import slerp, truncate


def test_truncated_latents_follow_the_truncated_normal_distribution() -> None:
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    for threshold in (0.5, 1.0, 2.0):
        cut = truncate(z, threshold)
        assert cut.abs().max() <= threshold
        kept = z[z.abs() <= threshold]  # the result of resampling
        for power in (1, 2, 4):
            error = cut.abs().pow(power).std() * math.sqrt(1 / len(cut) + 1 / len(kept))
            assert abs(cut.abs().pow(power).mean() - kept.abs().pow(power).mean()) < 5 * error
        assert (cut[z.argsort()].diff() >= 0).all()
    torch.testing.assert_close(truncate(z, 20.0), z)


def test_interpolated_latents_have_a_typical_length() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, generator=generator)
    t = torch.linspace(0, 1, 9)
    lengths = slerp(a, b, t).norm(dim=1)
    torch.testing.assert_close(lengths, (1 - t) * a.norm() + t * b.norm())
    assert ((1 - 0.5) * a + 0.5 * b).norm() < 0.8 * lengths[4], "a straight line would not"
    steps = torch.nn.functional.cosine_similarity(slerp(a, b, t)[1:], slerp(a, b, t)[:-1])
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_parallel_and_opposite_latents_are_interpolated_linearly() -> None:
    t = torch.linspace(0, 1, 3)
    for a, b in ((2.0, 4.0), (1.0, -1.0), (0.0, 1.0)):
        path = slerp(torch.tensor([a]), torch.tensor([b]), t)
        assert path.flatten().tolist() == [a, (a + b) / 2, b]
