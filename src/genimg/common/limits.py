"""How large an image or a clip may be: what the command line allows is what networks, data and checkpoints keep to."""

SIDES = (8, 256)  # pixels of a side, least and most
MOST_PIXELS = 2**26  # of an image file: 8192 x 8192, 200 MB once decoded; one with more is taken for a bomb
MOST_FRAMES = 100_000  # of a clip's file: an hour of video
LARGEST_ITEM = 2**26  # values of one image or clip: 341 frames of 256 x 256 in colour


def check_sides(height: int, width: int) -> tuple[int, int]:
    """Both, if they are within `SIDES`. Raises ValueError."""
    if not all(SIDES[0] <= side <= SIDES[1] for side in (height, width)):
        raise ValueError(f"a side of an image has {SIDES[0]} to {SIDES[1]} pixels, got {height} x {width}")
    return int(height), int(width)
