"""Painting fires into real patches: masks, plan, engines, screening. No Dagster here."""
