"""Engine `files`: images that were painted elsewhere are taken in."""
