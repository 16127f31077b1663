"""Landsat-8 patches: bands, names, sources, groups and splits, detectors, simulation. No Dagster here."""
