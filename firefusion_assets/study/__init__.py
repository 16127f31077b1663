"""Studies and augmentation configs: the YAML files as checked models, and the fingerprints that follow from them.

No Dagster here, and nothing heavy: this package is imported whenever the code location is loaded.
"""

from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.loading import StudyError, augmentation_keys, load_augmentation, load_study
from firefusion_assets.study.models import Study

__all__ = ["Augmentation", "Study", "StudyError", "augmentation_keys", "load_augmentation", "load_study"]
