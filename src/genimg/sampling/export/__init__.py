"""Export of the generator of a trained model: its function, file formats and model card."""
