"""Everything that imports Dagster: assets, partitions, executors, checks, schedules."""
