"""U-Net, loading, training, metrics. No Dagster here; nothing here knows where a patch came from."""
