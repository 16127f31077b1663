"""Where patches come from: each source lists its inputs; reading and checking them is the same for all."""
