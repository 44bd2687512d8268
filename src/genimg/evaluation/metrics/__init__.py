"""Figures of sets of images: functions of arrays that know nothing of models."""
