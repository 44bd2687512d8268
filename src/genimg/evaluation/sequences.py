"""The metrics of a sequence model: generated futures against the real continuation of held-out clips.

A future is generated from the given frames of a clip, of which the last counts as its first frame here. The baseline of
one future repeats that frame. The best of K futures has a smaller error than one even if none knows anything, so its
baseline is the best of K unrelated clips.
"""

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Figure, shown
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.metrics.lpips import LPIPS, load_lpips, unavailable
from genimg.evaluation.metrics.motion import distribution_distance, motion
from genimg.evaluation.metrics.similarity import COSINE, METRICS, Description, cosine_distance, similarity
from genimg.evaluation.subject import Images, Subject, too_few_hint
from genimg.sampling.images.sheets import to_float, to_uint8

_CLIPS, _FUTURES = 200, 4  # the largest number of compared clips, and futures per clip
_BATCH = 100  # frames compared at once

#: The metrics of a frame; papers on moving digits report the squared error summed over a frame.
FRAME_METRICS = METRICS | {"mse summed": Description("lower", unit="per frame, images in [0, 1]")}
_TEST = "floor: test clips"  # of motion


def num_clips(images: Images, requested: int) -> int:
    """The number of test clips to compare futures with.

    Raises:
        UserError: if there are too few clips.
    """
    count = min(requested, _CLIPS, len(images.reserved))
    if count < 2:
        raise UserError("num_images", count, "2 or more", too_few_hint(requested, len(images.test), "clips"))
    return count


def sequence_figures(subject: Subject) -> list[Figure]:
    """The metrics of futures, the Frechet distance of clip features, and the motion."""
    images, count, last = subject.images, subject.num_images, subject.sampler.model.given_frames - 1
    chosen = evenly_spaced_indices(len(images.test), count)
    clips = images.test[chosen]
    real, floor = clips[:, last:], images.train[images.floor(count), last:]
    firsts: list[Tensor] = []
    lpips = None if unavailable() else load_lpips(subject.device)
    generated = (made[:, :, last:] for made in _generate(subject, clips, chosen))
    generated = _keep_first(generated, firsts)
    figures = future_figures(real, floor, generated, _FUTURES, subject.extractor, subject.device, lpips)
    still = real[:, :1].expand_as(real)
    first = torch.cat(firsts)
    sets = (real, floor, first, still)
    features = (clip_features(clips, subject.extractor, subject.device) for clips in sets)
    return [*figures, clip_frechet(*features), *motion_figures(real, floor, first)]


def _generate(subject: Subject, clips: Tensor, chosen: Tensor) -> Iterator[Tensor]:
    """Yields the futures of clips (N, T, C, H, W), uint8 (n, _FUTURES, T, C, H, W).

    chosen: the positions of the clips in the test split, whose classes and actions the model is given.
    """
    sampler, given, actions = subject.sampler, subject.sampler.model.given_frames, subject.images.test_actions
    batches = sampler.stream(
        len(clips),
        start=to_float(clips[:, :given]),
        classes=subject.class_names(chosen),
        futures=_FUTURES,
        num_frames=clips.shape[1],
        actions=actions[chosen, given - 1 :] if sampler.actions and actions is not None else None,
        **subject.drawing,
    )
    for batch in batches:
        yield to_uint8(batch).unflatten(0, (-1, _FUTURES))


def _keep_first(generated: Iterator[Tensor], firsts: list[Tensor]) -> Iterator[Tensor]:
    """Passes futures on, and appends the first future of each clip to `firsts`."""
    for made in generated:
        firsts.append(made[:, 0])
        yield made


def future_figures(
    clips: Tensor,
    unrelated: Tensor,
    generated: Iterator[Tensor],
    count: int,
    extractor: Extractor,
    device: torch.device,
    lpips: LPIPS | None,
) -> list[Figure]:
    """Metrics of futures by horizon. Floors: the start repeated; for the best, the best of unrelated clips.

    Args:
        clips: uint8 (N, T, C, H, W).
        unrelated: as many clips of other content, of which `count` are the guesses for each of `clips`.
        generated: batches (n, count, T, C, H, W), uint8, in the order of the clips.
        count: futures per clip. The best is the one with the smallest MSE over the clip.
        lpips: None if it is not available.
    """
    parts: dict[str, list[Tensor]] = {}
    position = 0
    for made in generated:
        truth = clips[position : position + len(made)]
        position += len(made)
        where = torch.arange(position - len(made), position)
        futures = frame_metrics(made[:, :, 1:], truth[:, None, 1:].expand_as(made[:, :, 1:]), lpips)  # (n, K, T - 1)
        guess = closest(guesses(unrelated, where, count), truth)  # (n, T, C, H, W)
        guessed = frame_metrics(guess[:, 1:], truth[:, 1:], lpips)  # (n, T - 1)
        still = frame_metrics(truth[:, :1].expand_as(truth)[:, 1:], truth[:, 1:], lpips)  # (n, T - 1)
        compared = (truth, made[:, :, 1:], guess[:, 1:])
        truth_features, made_features, guess_features = (frame_features(x, extractor, device) for x in compared)
        futures[COSINE] = cosine_distance(made_features, truth_features[:, None, 1:])
        guessed[COSINE] = cosine_distance(guess_features, truth_features[:, 1:])
        still[COSINE] = cosine_distance(truth_features[:, :1], truth_features[:, 1:])
        best = futures["mse"].mean(2).argmin(1)
        # clips half the set apart: neighbours can be from one video
        others = (where + len(clips) // 2) % len(clips)
        batch = {
            "diversity": diversity(made[:, :, 1:]),
            "diversity floor": diversity(torch.stack([truth, clips[others]], dim=1)[:, :, 1:]),
        }
        for name, values in futures.items():
            batch[f"mean/{name}"] = values.mean(1)
            batch[f"best/{name}"] = values[torch.arange(len(values)), best]
            batch[f"mean floor/{name}"], batch[f"best floor/{name}"] = still[name], guessed[name]
        for name, values in batch.items():
            parts.setdefault(name, []).append(values)
    horizon = {name: torch.cat(values).mean(0) for name, values in parts.items()}  # (T - 1,) each

    def figure(name: str, value: Tensor, floor: Tensor, reading: Description, note: str) -> Figure:
        means = float(value.mean()), float(floor.mean())
        curves = rounded(value), rounded(floor)
        better, kind, unit = reading
        return Figure("sequences", name, means[0], kind, len(clips), better, means[1], None, unit, note, *curves)

    figures = []
    notes = {
        "mean": f"one future, mean of {count}; floor: the start, or the last given frame, repeated",
        "best": f"best of {count}; floor: best of {count} training clips",
    }
    for which, note in notes.items():
        for name, reading in FRAME_METRICS.items():
            if f"{which}/{name}" in horizon:  # no MS-SSIM of small frames, no LPIPS without its weights
                value, floor = horizon[f"{which}/{name}"], horizon[f"{which} floor/{name}"]
                figures.append(figure(f"{name}, {which}", value, floor, reading, note))
    note = "mse between two futures of one start; 0: all are equal; floor: between two test clips"
    value, floor = horizon["diversity"], horizon["diversity floor"]
    return [*figures, figure("diversity", value, floor, Description(""), note)]


def guesses(unrelated: Tensor, where: Tensor, count: int) -> Tensor:
    """The `count` unrelated clips for each of the positions `where` (n,): (n, count, T, C, H, W), different ones if the
    set (N, T, C, H, W) has as many."""
    shifts = torch.arange(count) * len(unrelated) // count
    return unrelated[(where[:, None] + shifts) % len(unrelated)]


def closest(candidates: Tensor, truth: Tensor) -> Tensor:
    """The candidate of each clip with the smallest MSE over the clip: uint8 (n, K, T, C, H, W) -> (n, T, C, H, W)."""
    errors = [
        (candidates[:, k, 1:].float() - truth[:, 1:].float()).square().flatten(1).mean(1)
        for k in range(candidates.shape[1])
    ]
    return candidates[torch.arange(len(candidates)), torch.stack(errors, 1).argmin(1)]


def frame_metrics(made: Tensor, real: Tensor, lpips: LPIPS | None) -> dict[str, Tensor]:
    """Metrics of pairs of frames, uint8 (..., C, H, W) -> (...) each."""
    pairs = zip(made.flatten(0, -4).split(_BATCH), real.flatten(0, -4).split(_BATCH), strict=True)
    parts = [similarity(a, b, lpips) for a, b in pairs]
    values = {name: torch.cat([part[name] for part in parts]).double().reshape(made.shape[:-3]) for name in parts[0]}
    return values | {"mse summed": values["mse"] * made.shape[-3:].numel()}


def frame_features(clips: Tensor, extractor: Extractor, device: torch.device) -> Tensor:
    """Features of the frames, uint8 (..., C, H, W) -> (..., D)."""
    return extractor(clips.flatten(0, -4), device).unflatten(0, clips.shape[:-3])


def diversity(futures: Tensor) -> Tensor:
    """Mean squared error in [0, 1] between two futures: uint8 (n, K, T, C, H, W) -> (n, T); 0 if K is 1."""
    pairs = list(combinations(range(futures.shape[1]), 2))
    if not pairs:
        return torch.zeros(futures.shape[0], futures.shape[2], dtype=torch.float64)
    images = futures.double() / 255
    return torch.stack([(images[:, a] - images[:, b]).square().mean((2, 3, 4)) for a, b in pairs]).mean(0)


def motion_figures(real: Tensor, others: Tensor, fake: Tensor) -> list[Figure]:
    """The motion in generated clips, uint8 (N, T, C, H, W).

    Args:
        real: test clips, the floor of means.
        others: training clips, the floor of distances.
    """
    made, true, other = motion(fake), motion(real), motion(others)
    pairs = [
        ("speed", made.speed, other.speed, true.speed, "of the centroid of intensity"),
        ("unevenness", made.unevenness, other.unevenness, true.unevenness, "standard deviation of speed within a clip"),
    ]
    figures = []
    for name, ours, theirs, wanted, note in pairs:
        figures += [
            _of_motion(name, fake, float(ours.mean()), float(wanted.mean()), "pixels per frame", f"{note}; {_TEST}"),
            Figure(
                "motion", f"{name}, distribution", distribution_distance(ours, wanted), "proxy", len(fake), "lower",
                distribution_distance(theirs, wanted), unit="pixels per frame",
                note="1-Wasserstein distance from test clips; floor: training clips",
            ),
        ]  # fmt: skip
    return [
        *figures,
        _of_motion("turns", fake, made.turns, true.turns, "per clip", f"changes of direction; {_TEST}"),
        _of_motion(
            "turns inside", fake, made.turns_inside, true.turns_inside, "share", f"turns not at an edge; {_TEST}"
        ),
    ]


def _of_motion(name: str, fake: Tensor, value: float, floor: float, unit: str, note: str) -> Figure:
    return Figure("motion", name, value, "proxy", len(fake), "", floor, unit=unit, note=note)


def clip_features(clips: Tensor, extractor: Extractor, device: torch.device) -> Tensor:
    """Mean of the frames' features and of their absolute change per frame: uint8 (N, T, C, H, W) -> (N, 2 D)."""
    frames = frame_features(clips, extractor, device)  # (N, T, D)
    return torch.cat([frames.mean(1), frames.diff(dim=1).abs().mean(1)], dim=1)


def clip_frechet(test: Tensor, floor: Tensor, fake: Tensor, still: Tensor) -> Figure:
    """The Frechet distance of clip features (N, 2 D). It is not FVD, which uses another network."""
    value, least, repeated = (frechet_distance(test, other) for other in (fake, floor, still))
    note = f"of clip features: mean over frames, and mean change per frame; first frames repeated: {shown(repeated)}"
    return Figure("sequences", "frechet distance", value, "proxy", len(fake), "lower", least, note=note)


def rounded(values: Tensor) -> tuple[float, ...]:
    """The values with six significant digits, for a readable file."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())
