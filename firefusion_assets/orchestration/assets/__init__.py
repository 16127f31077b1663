"""The assets: each reads config and upstream paths, calls the domain, publishes, and reports metadata."""
