"""Measurements: ratios of medians within one run, never a verdict."""
