"""What tests and benchmarks build: small studies, stores, products, pipelines. No test imports another test."""
