"""Contact sheets show every example in its columns and colours."""

import numpy as np
from PIL import Image

from firefusion_assets.core import pictures
from firefusion_assets.report import sheets
from firefusion_assets_tests.builders.reports import BANDS, painted, prediction

COMPOSITE = pictures.Composite(BANDS, BANDS)


def test_sheets_of_examples_have_their_columns_and_colours() -> None:
    sheet = sheets.painted_sheet([painted(), painted(accepted=False)], COMPOSITE)
    assert sheet.width > 5 * 160
    assert has_colour(sheet, pictures.LABEL_COLOUR)
    predictions = sheets.prediction_sheet([prediction()], COMPOSITE)
    assert predictions.width > 4 * 160, "patch, truth and a column for each of two configs"
    assert has_colour(predictions, pictures.MISS_COLOUR)
    assert has_colour(predictions, pictures.FALSE_ALARM_COLOUR)


def has_colour(sheet: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(sheet) == colour).all(axis=2).any())
