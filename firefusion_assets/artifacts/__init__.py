"""The artifact store: locked, atomic, input-addressed folders. No Dagster here."""
