"""Engine `physics`: fires from published constants, without anything learned."""
