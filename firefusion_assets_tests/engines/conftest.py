"""What tests of several engines share."""

import pytest

from firefusion_assets.patchstore import PatchPart
from firefusion_assets_tests.builders.parts import make_part


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return make_part(tmp_path_factory.mktemp("part"))
