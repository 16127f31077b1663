"""Networks give logits of their input's size, whatever that is."""

import builtins
import math

import pytest
import torch

from firefusion_assets.segmentation.networks import UNet, build_network, start_from_class_share
from firefusion_assets.study.models import SMP_ARCHITECTURES
from firefusion_assets_tests.builders.squares import recipe


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (50, 33), (7, 9)])
def test_unet_takes_any_patch_size(size: tuple[int, int]) -> None:
    network = build_network(recipe(filters=2))
    assert network(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_unet_of_the_thesis_has_its_parameters() -> None:
    # Two 3x3 convolutions with batch normalisation a level, 2x2 transposed convolutions with bias, 1x1 head.
    widths = [64, 128, 256, 512, 1024]
    expected = 0
    for before, width in zip([3, *widths[:-1]], widths, strict=True):
        expected += 9 * before * width + 9 * width * width + 4 * width
    for width in widths[:-1]:
        expected += 4 * 2 * width * width + width + 9 * 2 * width * width + 9 * width * width + 4 * width
    expected += widths[0] + 1
    assert sum(parameter.numel() for parameter in UNet(3, 64).parameters()) == expected == 31_037_633


def test_padding_changes_no_logit_where_none_is_needed() -> None:
    network = build_network(recipe(filters=2)).eval()
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(network(x), network.network(x))  # type: ignore[operator]


def test_smp_architectures_are_those_that_smp_knows() -> None:
    import segmentation_models_pytorch as smp

    assert set(SMP_ARCHITECTURES) == set(smp.MODEL_ARCHITECTURES_MAPPING)


@pytest.mark.parametrize("name", ["unet", "fpn", "deeplabv3plus"])
def test_smp_network_takes_a_size_that_32_does_not_divide(name: str) -> None:
    network = build_network(recipe(architecture=f"smp-{name}", bands=("B7", "B6"))).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 2, 50, 33)).shape == (1, 1, 50, 33)


@pytest.mark.parametrize("architecture", ["unet", *(f"smp-{name}" for name in SMP_ARCHITECTURES if name != "dpt")])
def test_a_bias_at_the_share_of_fire_moves_every_logit_alike(architecture: str) -> None:
    torch.manual_seed(3)
    network = build_network(recipe(architecture=architecture, filters=2)).eval()
    x = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        start_from_class_share(network, 0.5)
        even = network(x)
        start_from_class_share(network, 0.01)
        torch.testing.assert_close(network(x), even + math.log(0.01 / 0.99), atol=1e-3, rtol=0)


def test_a_torchvision_of_another_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def broken(name: str, *args: object, **kwargs: object) -> object:
        if name == "segmentation_models_pytorch":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ImportError, match=r"'smp-unet' needs .*nms does not exist.* Install torch and torchvision"):
        build_network(recipe(architecture="smp-unet"))
