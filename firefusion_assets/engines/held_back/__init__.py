"""Engines `more-real` and `weak`: patches that the study holds back, as what labelling them would have bought."""
