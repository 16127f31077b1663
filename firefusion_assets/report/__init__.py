"""The report: statistics, plots, HTML. No Dagster here."""
