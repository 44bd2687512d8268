"""Configuration without torch: composition, checks, help and completion."""
