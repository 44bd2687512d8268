"""Limits on the size of images, clips and numbers, shared by the command line, networks, data and checkpoints."""

SIDES = (8, 256)  # pixels of a side: minimum and maximum
MOST_PIXELS = 2**26  # of an image file: 8192 x 8192, 200 MB decoded; larger files are rejected
MOST_FRAMES = 100_000  # of a clip file: an hour of video
MOST_ANIMATED_PIXELS = 2**32  # of a GIF or WebP, canvas times frames: 4,096 frames of 1024 x 1024, a minute to decode
MOST_ACTIONS = 1_000  # different ones of a data set; the model learns a vector of each
LARGEST_ITEM = 2**26  # values of one image or clip: 341 RGB frames of 256 x 256
MOST_CHANNELS = 2**14  # of a layer: one 3 x 3 convolution between two such layers takes 10 GB
LARGEST_INTEGER = 2**63 - 1  # of a setting and of a checkpoint: torch and safetensors have no more than 64 bits
LEAST_SIGMA = 0.1  # of a kernel that moves layers, in pixels: half a pixel must be within its reach
MOST_THREADS = 256  # of one process: more only wait for each other


def check_sides(height: int, width: int) -> tuple[int, int]:
    """Returns (height, width). Raises ValueError unless both are within `SIDES`."""
    if not all(SIDES[0] <= side <= SIDES[1] for side in (height, width)):
        raise ValueError(f"sides must have {SIDES[0]} to {SIDES[1]} pixels, got {height} x {width}")
    return int(height), int(width)
