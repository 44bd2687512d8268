"""Metrics of sets of features, against independent implementations and by their laws."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.metrics.kid import kernel_distance
from genimg.evaluation.metrics.precision_recall import copying, nearest, prdc

DIM = 8


def features(count: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Correlated normal vectors, shifted and scaled."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(99))
    return scale * torch.randn(count, DIM, generator=generator) @ mixing + shift


def copied(fake: Tensor, held_out: Tensor, train: Tensor) -> float:
    """The copying metric of features."""
    return copying(nearest(fake, train)[0], nearest(held_out, train)[0])


def clusters(count: int, seed: int, classes: int = 5) -> Tensor:
    """Equal shares of `classes` narrow clusters far apart."""
    generator = torch.Generator().manual_seed(seed)
    centres = 10 * torch.randn(5, DIM, generator=torch.Generator().manual_seed(7))[:classes]
    return centres[torch.arange(count) % classes] + torch.randn(count, DIM, generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_frechet_equals_the_formula_with_scipys_root() -> None:
    a, b = features(300, 0).double().numpy(), features(200, 1, shift=0.5, scale=1.3).double().numpy()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root: Any = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-8)


def test_frechet_is_zero_for_equal_sets_symmetric_and_known_for_a_shift() -> None:
    a, b = features(100, 0), features(100, 1, scale=2.0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a + 3.0) == pytest.approx(9.0 * DIM, rel=1e-5)


def test_frechet_ignores_features_that_are_always_zero() -> None:
    """With more features than vectors, the singular values are used."""
    a, b = features(60, 0), features(50, 1) * 1.5 + 0.2
    wide = [torch.cat([one, torch.zeros(len(one), 100)], dim=1) for one in (a, b)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_of_fewer_vectors_than_dimensions_is_finite() -> None:
    a, b = features(4, 0), features(5, 1)
    assert 0 <= frechet_distance(a, b) < float("inf")
    with pytest.raises(ValueError, match="2 or more"):
        frechet_distance(a[:1], b)


def test_kernel_distance_of_full_sets_equals_torchmetrics() -> None:
    a, b = features(60, 0).double(), features(60, 1, shift=0.3).double()
    k = [(x @ y.T / DIM + 1) ** 3 for x, y in ((a, a), (a, b), (b, b))]
    found = kernel_distance(a, b, generator=seeded(), subsets=3, size=60)
    assert found.mean == pytest.approx(float(poly_mmd(a, b)), rel=1e-8) == pytest.approx(float(_mmd(*k)), rel=1e-8)
    assert found.std is None  # every subset equals the set


def test_kernel_distance_of_subsets_equals_torchmetrics() -> None:
    a, b = features(90, 0).double(), features(60, 1, shift=0.3).double()
    found = kernel_distance(a, b, generator=seeded(), subsets=20, size=40)
    draws = seeded()
    each = []
    for _ in range(20):
        drawn = (x[torch.randperm(len(x), generator=draws)[:40]] for x in (a, b))
        each.append(float(poly_mmd(*drawn)))  # pyright: ignore[reportArgumentType]
    assert found == pytest.approx((np.mean(each), np.std(each)), rel=1e-8)


def _mmd(aa: Tensor, ab: Tensor, bb: Tensor) -> Tensor:
    """The definition, term by term."""
    n = len(aa)
    off = ~torch.eye(n, dtype=torch.bool)
    return aa[off].mean() + bb[off].mean() - 2 * ab.mean()


def test_kernel_distance_is_unbiased_and_has_a_standard_deviation() -> None:
    found = kernel_distance(features(1000, 0), features(1000, 1), generator=seeded(), subsets=50, size=100)
    assert found.std is not None and found.std > 0
    assert abs(found.mean) < 3 * found.std / 50**0.5 + 0.02 * found.std
    far = kernel_distance(features(1000, 0), features(1000, 1, shift=1.0), generator=seeded(), subsets=50, size=100)
    assert far.std is not None and far.mean > 3 * far.std / 50**0.5


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> list[float]:
    """Precision, recall (closed balls), density and coverage (open balls) by loops over all pairs."""

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.array([[np.linalg.norm(one - other) for other in y] for one in x])

    reach_real = np.sort(distances(real, real), axis=1)[:, k]
    reach_fake = np.sort(distances(fake, fake), axis=1)[:, k]
    across = distances(real, fake)
    inside = across < reach_real[:, None]
    return [
        (across <= reach_real[:, None]).any(0).mean(),
        (across <= reach_fake).any(1).mean(),
        inside.sum(0).mean() / k,
        inside.any(1).mean(),
    ]


def test_prdc_equals_its_definition() -> None:
    real, fake = features(70, 0).double(), features(60, 1, shift=0.4, scale=0.8).double()
    assert list(prdc(real, fake, k=5)) == pytest.approx(by_definition(real.numpy(), fake.numpy(), 5), rel=1e-9)


def test_prdc_equals_its_definition_with_ties() -> None:
    real, fake = (
        torch.randint(0, 4, (60, 3), generator=torch.Generator().manual_seed(seed)).double() for seed in (0, 1)
    )
    expected = by_definition(real.numpy(), fake.numpy(), 3)
    assert list(prdc(real / 3, fake / 3, k=3)) == pytest.approx(expected, rel=1e-9)  # thirds are rounded


def test_prdc_equals_the_package_of_the_authors() -> None:
    """Values of prdc 0.2, by Naeem et al. 2020."""
    rows = torch.arange(60.0).double()[:, None] * torch.tensor([1.0, 2.0, 3.0, 5.0])
    real, fake = rows.sin(), 0.8 * (rows + 0.3).cos() + 0.2
    assert list(prdc(real, fake[:50], k=5)) == pytest.approx([1.0, 31 / 60, 1.096, 5 / 6])


@pytest.mark.parametrize("tile", [3, 16])  # the last tile is smaller; 3 is smaller than k
def test_the_size_of_a_tile_changes_nothing(tile: int) -> None:
    real, fake = features(70, 0), features(60, 1)
    distance, index = nearest(fake, real)
    tiled_distance, tiled_index = nearest(fake, real, tile=tile)
    assert prdc(real, fake, tile=tile) == prdc(real, fake)
    assert torch.equal(tiled_index, index)
    torch.testing.assert_close(tiled_distance, distance)


def test_a_set_covers_itself() -> None:
    a = features(200, 0)
    assert (
        prdc(a, a) == prdc(a, a.flip(0)) == (1.0, 1.0, 1.0, 1.0)
    )  # the balls are open: the density is 1, not 1 + 1 / k


def test_dropped_classes_lower_recall_and_coverage_and_raise_the_distances() -> None:
    real = clusters(500, 0)
    sets = [clusters(500, 1, classes) for classes in (5, 3, 1)]
    found = [prdc(real, fake) for fake in sets]
    assert all(more.recall > less.recall + 0.2 for more, less in pairwise(found))
    assert all(more.coverage > less.coverage + 0.2 for more, less in pairwise(found))
    assert min(one.precision for one in found) > 0.9  # the remaining classes are real ones
    distances = [frechet_distance(real, fake) for fake in sets]
    assert distances == sorted(distances)


def test_repeated_images_are_detected() -> None:
    """The Frechet distance hardly changes; recall, coverage and copying do."""
    train, held_out = features(1000, 0), features(500, 1)
    fresh, repeated = features(500, 2), train[:25].repeat(20, 1)
    good, bad = prdc(held_out, fresh), prdc(held_out, repeated)
    assert bad.recall < 0.3 * good.recall and bad.coverage < 0.6 * good.coverage
    assert copied(fresh, held_out, train) == pytest.approx(0.5, abs=0.06)
    assert copied(repeated, held_out, train) == 1.0
    assert copied(features(500, 2, shift=50.0), held_out, train) == 0.0


def test_nearest_finds_a_shifted_vector() -> None:
    among = features(50, 0)
    distance, index = nearest(among[[3, 30]] + 1e-3, among)
    assert index.tolist() == [3, 30]
    assert distance.tolist() == pytest.approx([DIM * 1e-6] * 2, rel=1e-2)
    assert nearest(among, among)[0].max() == 0  # no rounding error between equal vectors


def test_nearest_equals_scipys_tree() -> None:
    queries, among = features(300, 0).double(), features(2000, 1, shift=0.3).double()
    distance, index = nearest(queries, among)
    expected, at = scipy.spatial.KDTree(among.numpy()).query(queries.numpy())
    assert index.tolist() == at.tolist()
    assert distance.sqrt().tolist() == pytest.approx(expected.tolist(), rel=1e-8)


def test_copying_equals_scipys_mann_whitney() -> None:
    of_fake, of_held_out = (torch.randint(0, 50, (n,), generator=seeded()).double() for n in (120, 90))  # with ties
    expected = scipy.stats.mannwhitneyu(of_held_out.numpy(), of_fake.numpy()).statistic / (120 * 90)
    assert copying(of_fake, of_held_out) == pytest.approx(expected, rel=1e-12)


def test_a_common_offset_changes_nothing() -> None:
    real, fake = features(200, 0).double(), features(200, 1, shift=0.5).double()
    assert prdc(real + 1e6, fake + 1e6) == pytest.approx(prdc(real, fake), abs=0.02)


def test_features_that_are_not_finite_are_refused() -> None:
    """Otherwise a generator that diverged would seem perfect."""
    broken = features(30, 1)
    broken[3, 2] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        prdc(features(30, 0), broken)
    with pytest.raises(ValueError, match="finite"):
        copied(broken, features(30, 0), features(30, 2))


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 5 vectors, got 5"):
        prdc(features(5, 0), features(9, 1))
    with pytest.raises(ValueError, match="at least two vectors"):
        kernel_distance(features(1, 0), features(9, 1), generator=seeded())
