"""The prior over maps of codes: a distribution, in raster order, that is drawn as it is evaluated."""

from __future__ import annotations

import torch
from torch import Tensor

from genimg.models.networks.code_prior import CodePrior
from genimg.models.networks.quantisers import to_digits
from genimg.models.networks.shape import NetworkShape


def prior(size: tuple[int, int], levels: list[int], num_classes: int = 0, layers: int = 1) -> CodePrior:
    """Codes of images of `size` have half the height and width. Wide weights, so that codes depend on each other."""
    torch.manual_seed(0)
    shape = NetworkShape(size, channels=1, width=4, max_width=4, hidden=8, smallest=8, num_classes=num_classes)
    made = CodePrior(shape, levels, layers)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return made


def test_the_probabilities_of_all_code_maps_sum_to_one() -> None:
    """Maps of 4 x 4 codes are too many; the last four of one map vary, given the others, over 6^4 maps."""
    made = prior((8, 8), [3, 2])
    known = torch.randint(6, (1, 4, 4), generator=torch.Generator().manual_seed(0))
    last = torch.cartesian_prod(*[torch.arange(6)] * 4)
    maps = known.repeat(len(last), 1, 1)
    maps[:, 3] = last
    with torch.no_grad():
        nats = made.log_prob(maps)
    assert torch.equal(nats[:, :3], nats[:1, :3].expand(len(last), -1, -1))
    torch.testing.assert_close(nats[:, 3].sum(1).exp().sum(), torch.tensor(1.0), rtol=1e-4, atol=0)


def test_a_code_depends_on_those_before_alone_and_on_all_that_it_reads() -> None:
    """Changing one code changes the log-probabilities of the later ones, and of no earlier one."""
    made = prior((8, 10), [3, 2], layers=2)
    codes = torch.randint(6, (1, 4, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = made.log_prob(codes).flatten()
        for place in range(20):
            changed = codes.clone()
            changed.flatten(1)[:, place] = (codes.flatten(1)[:, place] + 1) % 6
            after = made.log_prob(changed).flatten()
            assert torch.equal(after[:place], before[:place])
            assert all(after[later] != before[later] for later in range(place + 1, min(place + 7, 20)))


def drawn_one_by_one(made: CodePrior, uniform: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
    """The codes that `sample` draws, from the probabilities of complete maps: every code is tried at every place."""
    count, height, width, _ = uniform.shape
    every = made.levels[0] * made.levels[1]
    digits = to_digits(torch.arange(every), made.levels)
    codes = torch.zeros(count, height, width, dtype=torch.int64)
    for place in range(height * width):
        nats = []
        for code in range(every):
            codes.flatten(1)[:, place] = code
            nats.append(made.log_prob(codes, labels).flatten(1)[:, place].double())
        log_p = torch.stack(nats, 1)
        if guidance != 1:
            assert labels is not None
            unknown = torch.full_like(labels, made.num_classes)
            nats = []
            for code in range(every):
                codes.flatten(1)[:, place] = code
                nats.append(made.log_prob(codes, unknown).flatten(1)[:, place].double())
            log_p = guided(log_p, torch.stack(nats, 1), digits, guidance)
        masses = log_p.exp()
        for image in range(count):
            u = uniform[image, place // width, place % width]
            first = torch.stack([masses[image, digits[:, 0] == d].sum() for d in range(made.levels[0])])
            d0 = int((u[0] > first.cumsum(0)).sum())
            second = masses[image, digits[:, 0] == d0] / first[d0]
            d1 = int((u[1] > second.cumsum(0)).sum())
            codes.flatten(1)[image, place] = d0 + made.levels[0] * d1
    return codes


def guided(of_class: Tensor, without: Tensor, digits: Tensor, guidance: float) -> Tensor:
    """Log-probabilities (N, K) of codes, of which each digit is guided given those before."""
    result = torch.zeros_like(of_class)
    levels = [int(count) + 1 for count in digits.amax(0)]
    parts = []
    for log_p in (of_class, without):
        joint = log_p.exp()
        first = torch.stack([joint[:, digits[:, 0] == d].sum(1) for d in range(levels[0])], 1)
        parts.append((first.log(), log_p - first.log()[:, digits[:, 0]]))
    (first_c, second_c), (first_u, second_u) = parts
    first = torch.log_softmax(torch.lerp(first_u, first_c, guidance), 1)
    for d in range(levels[0]):
        mask = digits[:, 0] == d
        second = torch.log_softmax(torch.lerp(second_u[:, mask], second_c[:, mask], guidance), 1)
        result[:, mask] = first[:, d, None] + second
    return result


def uniform(count: int, size: tuple[int, int], digits: int) -> Tensor:
    return torch.rand(count, *size, digits, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_drawing_one_code_after_the_other_equals_evaluating_all_at_each_step() -> None:
    made, numbers = prior((8, 10), [3, 2], layers=2), uniform(3, (4, 5), 2)
    with torch.no_grad():
        assert torch.equal(made.sample(numbers, None, 1.0, 1.0), drawn_one_by_one(made, numbers, None, 1.0))


def test_guided_draws_equal_those_of_the_guided_probabilities() -> None:
    made, numbers, labels = prior((8, 8), [3, 2], num_classes=2), uniform(3, (4, 4), 2), torch.tensor([0, 1, 1])
    with torch.no_grad():
        for guidance in (1.0, 2.5):
            expected = drawn_one_by_one(made, numbers, labels, guidance)
            assert torch.equal(made.sample(numbers, labels, 1.0, guidance), expected)


def test_guidance_0_is_without_the_class() -> None:
    made, numbers = prior((8, 8), [3, 2], num_classes=2), uniform(4, (4, 4), 2)
    labels, unknown = torch.tensor([0, 1, 1, 0]), torch.full((4,), 2)
    assert torch.equal(made.sample(numbers, labels, 1.0, 0.0), made.sample(numbers, unknown, 1.0, 1.0))
    assert not torch.equal(made.sample(numbers, labels, 1.0, 1.0), made.sample(numbers, unknown, 1.0, 1.0))


def test_temperature_0_takes_the_likeliest_digits_whatever_the_noise() -> None:
    made = prior((8, 8), [3, 2])
    drawn = made.sample(uniform(5, (4, 4), 2), None, 0.0, 1.0)
    assert torch.equal(drawn, drawn[:1].expand(5, -1, -1))
    with torch.no_grad():
        best = made.log_prob(drawn[:1])[0, 0, 0]
        tried = [made.log_prob(torch.full((1, 4, 4), code))[0, 0, 0] for code in range(6)]
    assert best >= sorted(tried)[-2]  # digit by digit, which need not be the likeliest code
