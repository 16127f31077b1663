"""Which object belongs to which asset and key today, and the folds that they are made for."""
