"""What a person sees: colours, sizes, and that nothing of a mask is lost on the way."""

import base64
import io

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from firefusion_assets.core import pictures

BANDS = ("B2", "B6", "B7")


def constant(*values: int, size: int = 4) -> npt.NDArray[np.uint16]:
    return np.broadcast_to(np.array(values, np.uint16)[:, None, None], (len(values), size, size))


SEVEN_SIX_TWO = ("B7", "B6", "B2")


def test_bands_7_6_2_of_landsat_are_shown_whatever_their_order() -> None:
    composite = pictures.Composite(("B2", "B7", "B6", "B5"), SEVEN_SIX_TWO)
    shown = composite(constant(5_000, 40_000, 20_000, 65_535))
    assert shown.shape == (4, 4, 3)
    assert shown.dtype == np.uint8
    red, green, blue = shown[0, 0]
    assert red == 255
    assert 0 < green < 255
    assert blue == 0


def test_landsat_pictures_can_be_compared() -> None:
    patch, composite = constant(9_000, 12_000, 15_000).copy(), pictures.Composite(BANDS, SEVEN_SIX_TWO)
    alone = composite(patch)
    patch[:, 0, 0] = 65_535
    assert np.array_equal(composite(patch)[1:], alone[1:])


@pytest.mark.parametrize("shown", [("R", "G", "B"), ("NIR", "R", "G"), ("NIR",)])
def test_other_sensors_are_stretched_by_their_own_values(shown: tuple[str, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 4_000, (4, 20, 20), dtype=np.uint16)
    picture = pictures.Composite(("R", "G", "B", "NIR"), shown)(values)
    assert picture.shape == (20, 20, 3)
    assert picture.min() == 0
    assert picture.max() == 255
    rows = ["RGBN".index(name[0]) for name in (shown if len(shown) == 3 else shown * 3)]
    for channel, row in enumerate(rows):
        order = np.argsort(values[row].ravel())
        assert (np.diff(picture[..., channel].ravel()[order].astype(int)) >= 0).all(), "a channel follows its band"


def test_a_patch_without_data_is_black() -> None:
    assert not pictures.Composite(("R", "G", "B"), ("R", "G", "B"))(constant(0, 0, 0)).any()


def test_an_outline_runs_around_the_mask_and_leaves_it_to_be_seen() -> None:
    picture = np.full((5, 5, 3), 7, np.uint8)
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    drawn = pictures.outline(picture, mask, (1, 2, 3))
    ring = (drawn == (1, 2, 3)).all(axis=2)
    assert ring.sum() == 8
    assert not ring[2, 2]
    assert (picture == 7).all(), "the picture given isn't changed"


def test_colour_on_grey_always_means_a_mask() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    first, second = np.eye(6, dtype=bool), np.zeros((6, 6), bool)
    second[0] = True
    drawn = pictures.on_grey(picture, (first, pictures.MISS_COLOUR), (second, pictures.LABEL_COLOUR))
    assert (drawn[second] == pictures.LABEL_COLOUR).all(), "later masks lie on top"
    assert (drawn[first & ~second] == pictures.MISS_COLOUR).all()
    rest = drawn[~first & ~second]
    assert (rest == rest[:, :1]).all()
    assert rest.max() < 135


def test_small_pictures_are_enlarged_so_that_each_pixel_is_a_square() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[10, 20] = (255, 0, 0)
    sheet = np.asarray(pictures.contact_sheet([[picture]], ["one"], ["caption"]))
    red = (sheet == (255, 0, 0)).all(axis=2)
    rows, columns = np.nonzero(red)
    assert red.sum() == 9
    assert np.ptp(rows) == np.ptp(columns) == 2


def test_large_pictures_are_scaled_down() -> None:
    picture = np.zeros((1024, 512, 3), np.uint8)
    sheet = pictures.contact_sheet([[picture, picture]], ["one", "two"], ["caption"])
    assert sheet.width < 600
    assert sheet.height < 350


def test_a_sheet_refuses_more_pictures_than_columns() -> None:
    tile = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="1 captions and 1 columns"):
        pictures.contact_sheet([[tile, tile]], ["one"], ["caption"])


def test_long_captions_are_wrapped_into_the_sheet() -> None:
    tile = np.zeros((32, 32, 3), np.uint8)
    short = pictures.contact_sheet([[tile]], ["one"], ["short"])
    long = pictures.contact_sheet([[tile]], ["one"], ["long words " * 20])
    assert long.width == short.width
    assert long.height > short.height


@settings(max_examples=15)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    limit=st.integers(1_500, 60_000),
    seed=st.integers(0, 9),
)
def test_the_limit_of_a_png_holds_even_for_noise(width: int, height: int, limit: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = pictures.png_bytes(Image.fromarray(noise), limit)
    assert len(data) <= limit
    assert Image.open(io.BytesIO(data)).format == "PNG"


def test_without_a_limit_a_png_keeps_every_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    back = Image.open(io.BytesIO(pictures.png_bytes(Image.fromarray(noise))))
    assert np.array_equal(np.asarray(back), noise)


def test_an_impossible_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        pictures.png_bytes(Image.new("RGB", (30, 30)), 10)


def test_markdown_holds_the_picture_itself() -> None:
    data = pictures.png_bytes(Image.new("RGB", (3, 2)))
    text = pictures.markdown_picture(data)
    start = "![picture](data:image/png;base64,"
    assert text.startswith(start)
    assert base64.b64decode(text.removeprefix(start).rstrip(")")) == data
