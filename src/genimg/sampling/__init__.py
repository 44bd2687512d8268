"""From a checkpoint to images, files and exports."""
