"""What the figures of configs say against each other: tests, intervals, claims, tables. Pure functions."""
