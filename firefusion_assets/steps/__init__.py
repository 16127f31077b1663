"""What each asset does, without Dagster."""
