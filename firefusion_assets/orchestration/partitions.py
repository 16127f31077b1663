"""The partitions: one key for each augmentation config of the study.

The keys are read when the code location is loaded; after adding a YAML file, reload it in the UI.
"""

import dagster as dg

from firefusion_assets.lineage.fingerprints import study_folder
from firefusion_assets.study import augmentation_keys

AUGMENTATIONS = dg.StaticPartitionsDefinition(augmentation_keys(study_folder()))
"""The names of `augmentations/*.yaml`."""
