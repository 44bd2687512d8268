"""What a run is measured by: one file a question, each returning figures with all that belongs to them."""
