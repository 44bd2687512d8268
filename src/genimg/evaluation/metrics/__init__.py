"""Figures of sets of pictures: functions of arrays that know nothing of models."""
