"""Quantisers: FSQ against a loop, codes and their vectors, gradients, and the moving codebook of VQ."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.models.networks.quantisers import FSQ, IDLE_AFTER, VQ, Quantiser, from_digits, rotated, to_digits
from genimg.models.networks.shape import NetworkShape

SHAPE = NetworkShape(16, channels=1, width=8, max_width=8, hidden=8, smallest=4)  # maps of 4 x 4 with 8 channels
LEVELS = [[8, 5, 5, 5], [8, 6, 5], [3, 4], [4]]


def vq(codes: int = 6, dim: int = 3, decay: float = 0.9) -> VQ:
    torch.manual_seed(0)
    return VQ(SHAPE, dim, [codes], commitment=0.25, decay=decay)


def vectors_of(count: int, dim: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", LEVELS)
def test_digits_and_codes_are_one_to_one(levels: list[int]) -> None:
    codes = torch.arange(math.prod(levels))
    digits = to_digits(codes, levels)
    assert torch.equal(from_digits(digits, levels), codes)
    assert (digits >= 0).all() and (digits < torch.tensor(levels)).all()
    assert len(digits.unique(dim=0)) == len(codes)


@pytest.mark.parametrize("levels", LEVELS)
def test_fsq_equals_a_loop_over_values(levels: list[int]) -> None:
    """Each value goes to the nearest level of tanh, scaled and shifted so that L integers are reached."""
    vectors = vectors_of(200, len(levels))
    quantised, codes, penalty = FSQ(SHAPE, levels).quantise(vectors)
    assert float(penalty) == 0
    for vector, result, code in zip(vectors.tolist(), quantised.tolist(), codes.tolist(), strict=True):
        expected = 0
        for place, (value, count) in enumerate(zip(vector, levels, strict=True)):
            reach = (count - 1) * 1.001 / 2
            shift = 0.5 if count % 2 == 0 else 0.0
            level = round(reach * math.tanh(value + math.atanh(shift / reach)) - shift)
            assert -(count // 2) <= level <= (count - 1) // 2
            assert result[place] == pytest.approx(level / (count // 2))
            expected += (level + count // 2) * math.prod(levels[:place])
        assert code == expected


@pytest.mark.parametrize("levels", LEVELS)
def test_every_code_of_fsq_is_reached_and_is_that_of_its_vector(levels: list[int]) -> None:
    """Values from -4 to 4 reach all levels, also the outermost ones."""
    quantiser, every = FSQ(SHAPE, levels), torch.arange(math.prod(levels))
    grid = torch.cartesian_prod(*[torch.linspace(-0.999, 0.999, 17).atanh()] * len(levels)).view(-1, len(levels))
    assert torch.equal(quantiser.quantise(grid)[1].unique(), every)
    quantised, codes, _ = quantiser.quantise(vectors_of(500, len(levels)))
    torch.testing.assert_close(quantiser.lookup(codes), quantised)


def test_the_gradient_of_fsq_passes_its_rounding() -> None:
    """It is that of the bound without the rounding."""
    quantiser = FSQ(SHAPE, [8, 5])
    vectors = vectors_of(50, 2).requires_grad_()
    reach, offset = torch.tensor([7.0, 4.0]) * 1.001 / 2, torch.tensor([0.5, 0.0])
    smooth = (torch.tanh(vectors + torch.atanh(offset / reach)) * reach - offset) / torch.tensor([4.0, 2.0])
    weights = vectors_of(50, 2, seed=1)
    (expected,) = torch.autograd.grad((weights * smooth).sum(), vectors)
    (found,) = torch.autograd.grad((weights * quantiser.quantise(vectors)[0]).sum(), vectors)
    torch.testing.assert_close(found, expected)
    assert found.abs().min() > 0


@pytest.mark.parametrize("quantiser", [FSQ(SHAPE, [8, 6, 5]), vq()])
def test_features_are_those_of_the_codes(quantiser: Quantiser) -> None:
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    quantised = quantiser(features)
    assert quantised.codes.shape == (2, 4, 4) and quantised.features.shape == features.shape
    torch.testing.assert_close(quantiser.decode(quantised.codes), quantised.features, rtol=1e-4, atol=1e-5)
    quantised.features.square().sum().backward()
    assert features.grad is not None and (features.grad.abs().sum((0, 2, 3)) > 0).all()


def test_vq_takes_the_nearest_entry() -> None:
    quantiser, vectors = vq(), vectors_of(40, 3)
    quantised, codes, penalty = quantiser.quantise(vectors)
    for vector, code in zip(vectors, codes, strict=True):
        assert int(code) == min(range(6), key=lambda k: float((vector - quantiser.codebook[k]).norm()))
    torch.testing.assert_close(quantised, quantiser.codebook[codes])
    assert float(penalty) == pytest.approx(0.25 * float((vectors - quantiser.codebook[codes]).square().mean()))


def test_the_gradient_of_vq_is_rotated_and_scaled_with_the_vector() -> None:
    """A vector along its entry keeps its gradient, times the scale. One at a right angle to it has it turned."""
    vectors = torch.tensor([[2.0, 0.0], [3.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[4.0, 0.0], [0.0, 3.0]])
    result = rotated(vectors, targets)
    torch.testing.assert_close(result, targets)
    (found,) = torch.autograd.grad(result, vectors, torch.tensor([[1.0, 2.0], [1.0, 2.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.0, 4.0], [2.0, -1.0]]))


def step(quantiser: VQ, features: Tensor) -> tuple[Tensor, Tensor]:
    """A step of the codebook. Returns the vectors and their codes."""
    quantised = quantiser(features)
    quantiser.update(quantised)
    return quantised.vectors, quantised.codes.flatten()


def test_the_codebook_is_the_moving_average_of_its_vectors() -> None:
    """N_k <- g N_k + (1 - g) n_k, m_k <- g m_k + (1 - g) sum of vectors, e_k = m_k / N_k (appendix A.1)."""
    quantiser = vq()
    quantiser.idle.zero_()  # so that no entry is replaced
    counts, sums = quantiser.counts.clone(), quantiser.sums.clone()
    for seed in range(5):
        features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(seed))
        vectors, codes = step(quantiser, features)
        for k in range(6):
            mine = vectors[codes == k]
            counts[k] = 0.9 * counts[k] + 0.1 * len(mine)
            sums[k] = 0.9 * sums[k] + 0.1 * mine.sum(0)
        torch.testing.assert_close(quantiser.codebook, sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_an_entry_that_is_never_used_becomes_a_vector_of_the_batch() -> None:
    quantiser = vq()
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    step(quantiser, features)  # the first step takes all entries from the batch
    quantiser.codebook[2] = quantiser.sums[2] = 1e4
    quantiser.counts[2] = 1
    quantiser.idle[2] = 0
    for _ in range(IDLE_AFTER):
        assert float(quantiser.codebook[2].norm()) > 100
        vectors, _ = step(quantiser, features)
    assert float(quantiser.codes_used()) == pytest.approx(5 / 6), "a new entry is not used yet"
    assert float((vectors - quantiser.codebook[2]).norm(dim=1).min()) < 1e-5
    quantiser.decay = 1.0
    assert 2 in step(quantiser, features)[1]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_an_entry_without_vectors_stays_finite(decay: float) -> None:
    quantiser = vq(decay=decay)
    for _ in range(2 * IDLE_AFTER):
        step(quantiser, torch.ones(1, 8, 4, 4))  # all vectors are one
        assert quantiser.codebook.isfinite().all()


def test_codes_used_is_the_share_of_the_last_steps() -> None:
    quantiser = FSQ(SHAPE, [8, 6, 5])
    assert float(quantiser.codes_used()) == 0
    quantised = quantiser(torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0)))
    quantiser.update(quantised)
    used = len(quantised.codes.unique())
    assert float(quantiser.codes_used()) == pytest.approx(used / 240)
    other = quantised._replace(codes=torch.full_like(quantised.codes, 7))
    for _ in range(IDLE_AFTER):
        quantiser.update(other)
    assert float(quantiser.codes_used()) == pytest.approx(1 / 240)


@pytest.mark.parametrize("levels", [[], [8, 2], [8.5], ["a"], [256, 256, 3]])
def test_levels_out_of_range_are_an_error_that_shows_them(levels: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"3 or more, whose product is at most 65,536, got \["):
        FSQ(SHAPE, levels)
