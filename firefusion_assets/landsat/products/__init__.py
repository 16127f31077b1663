"""Level-1 products of Landsat 8 and 9: found, opened and cut into the data set's patches."""
