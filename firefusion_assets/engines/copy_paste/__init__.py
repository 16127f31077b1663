"""Engine `copy-paste`: a real fire of the train part is transplanted into another patch."""
