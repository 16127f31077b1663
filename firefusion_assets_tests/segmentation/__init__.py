"""Tests of networks, loading, training, evaluation and metrics."""
