"""Simulated Landsat-8 scenes with fires, written as patches of the active fire data set. No Dagster here."""
