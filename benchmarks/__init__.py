"""Measurements against plain baselines, run by hand with `make bench`. Nothing here is asserted in a test."""
