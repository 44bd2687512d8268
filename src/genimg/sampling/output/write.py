"""Samples as files in a folder, by the kind of output that the options ask for."""

from collections.abc import Sequence
from pathlib import Path

from genimg.sampling.output.clips import write_clips
from genimg.sampling.output.completions import write_completions
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.projections import write_latents, write_projections
from genimg.sampling.output.reconstructions import write_reconstructions
from genimg.sampling.output.stills import write_stills
from genimg.sampling.output.tables import write_mixed, write_sliders
from genimg.sampling.sampler import Sampler


def write_samples(sampler: Sampler, options: SampleOptions, folder: Path, trust: Sequence[str] = ()) -> Path:
    """Draws samples into `folder` and returns the file to open first.

    The order of the file names is the order in which the samples were drawn; with `seeds` they carry the seeds. With
    `frames`, each frame of a GIF in sequences/, or of the interpolation, is also a PNG in a folder of the GIF's name.

    Args:
        trust: packages besides this one whose classes another run, of `start=run:`, may name.

    Raises:
        UserError: if the model does not support an option, before anything is written.
    """
    options.check_belonging()
    if options.project is not None:
        return write_projections(sampler, options, options.project, folder)
    if options.latents is not None:
        return write_latents(sampler, options, options.latents, folder)
    if options.reconstruct is not None:
        return write_reconstructions(sampler, options, options.reconstruct, folder)
    if options.complete is not None:
        return write_completions(sampler, options, options.complete, folder)
    if options.sliders is not None:
        return write_sliders(sampler, options, options.sliders, folder)
    if options.mix_seeds is not None:
        return write_mixed(sampler, options, options.mix_seeds, folder)
    if options.drawing:
        sampler.check_drawing()
    if sampler.makes_sequences:
        return write_clips(sampler, options, folder, list(trust))
    return write_stills(sampler, options, folder)
