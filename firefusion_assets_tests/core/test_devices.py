"""Where tensors live and how exactly they are multiplied."""

import pytest
import torch

from firefusion_assets.core.devices import tensor_float32


@pytest.mark.parametrize(("allowed", "inside"), [(True, "high"), (False, "highest")])
def test_tf32_lasts_as_long_as_the_block_whatever_ends_it(allowed: bool, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    assert before == "highest"
    with pytest.raises(KeyError), tensor_float32(allowed):
        assert torch.get_float32_matmul_precision() == inside
        raise KeyError
    assert torch.get_float32_matmul_precision() == before
