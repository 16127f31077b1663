"""Engine `none`: nothing is added."""
