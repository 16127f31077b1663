"""Study files: what is valid is read, every mistake of a file is told at once with file, key and remedy."""

from pathlib import Path

import pytest

from firefusion_assets.study import StudyError, augmentation_keys, load_augmentation, load_study

DATA = Path(__file__).parents[2] / "data"

STUDY = """
name: tiny
dataset: {source: simulated, patch_size: 64, bands: [B2, B5, B6, B7]}
training: {bands: [B7, B6, B2], steps: 10}
"""


def write_study(folder: Path, study: str = STUDY, **configs: str) -> Path:
    (folder / "augmentations").mkdir(parents=True)
    (folder / "study.yaml").write_text(study)
    for key, text in configs.items():
        (folder / "augmentations" / f"{key}.yaml").write_text(text)
    return folder


CONTROLS = {"baseline", "copy-paste", "native"}
LADDERS = {
    "demo": CONTROLS | {"plain", "physics", "wrong-labels"},
    "scarce": CONTROLS | {"plain", "physics", "wrong-labels", "more-real", "weak", "native-pretrained"},
    "activefire": CONTROLS
    | {"plain", "physics", "native-label-mask", "native-unscreened", "sd-pretrained", "sd-lora"}
    | {"sd-dreambooth", "sd-dreambooth-text-encoder", "sd-dreambooth-prior", "sd-dreambooth-box"},
    "thesis": {"baseline", "plain", "text-encoder", "prior"},
    "burn-scars": CONTROLS | {"plain"},
    "burn-scars-8": CONTROLS | {"plain"},
    "burn-scars-4": CONTROLS | {"plain"},
}


def test_the_studies_of_the_project_have_ladders() -> None:
    assert {folder.parent.name for folder in DATA.glob("*/study.yaml")} == set(LADDERS)


@pytest.mark.parametrize("name", LADDERS)
def test_the_studies_of_the_project_are_valid(name: str) -> None:
    study = load_study(DATA / name)
    keys = augmentation_keys(DATA / name)
    assert study.description and set(keys) == LADDERS[name]
    configs = [load_augmentation(DATA / name, key, study) for key in keys]
    assert all(config.description for config in configs)
    assert len({config.description for config in configs}) == len(keys), "a description was inherited, not written"


def test_the_rows_of_the_activefire_ladder_can_be_compared() -> None:
    study = load_study(DATA / "activefire")
    painting = LADDERS["activefire"] - {"baseline", "plain"}
    configs = {key: load_augmentation(DATA / "activefire", key, study) for key in painting}
    otherwise = {"physics", "native-label-mask", "native-unscreened"}
    for key, config in configs.items():
        assert (config.sampling.images, config.sampling.tries, config.sampling.seed) == (500, 2000, 1), key
        assert (config.screening == configs["copy-paste"].screening) == (key not in otherwise), key
        assert (config.masks.kind == "box") == (key == "sd-dreambooth-box"), key
    tuned = [configs[key].generator for key in configs if key.startswith(("sd-d", "sd-l"))]
    views = {g.train_batch_size * g.gradient_accumulation_steps * g.max_train_steps for g in tuned}  # type: ignore[union-attr]
    assert len(views) == 1, "each learns from as many views"
    assert configs["sd-dreambooth-box"].generator == configs["sd-dreambooth"].generator, "one model serves both"


def test_all_mistakes_of_a_study_are_told_at_once(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        """
name: Bad Name
dataset: {source: simulated, scens: 3, bands: [B7, B99]}
training: {bands: [B7], arhitecture: unet, steps: 0}
replicates: {count: 0}
split: {folds: 2}
resources: {trained_units: {gpus: 1}, dice_metrics: {gpu: 1, cores: 0}, scene_split: 4}
colour: red
""",
    )
    with pytest.raises(StudyError) as error:
        load_study(folder)
    text = str(error.value)
    assert all(str(folder / "study.yaml") in problem for problem in error.value.problems)
    for expected in (
        "name: ",
        "dataset.scens: unknown key; did you mean scenes?",
        "dataset.bands: B99 not in a patch file",
        "training.arhitecture: unknown key; did you mean architecture?",
        "training.steps: ",
        "replicates.count: Input should be greater than or equal to 1",
        "split.folds: 2 folds leave too little to train on",
        "resources.trained_units: unknown key; did you mean trained_unet?",
        "resources.dice_metrics.gpu: unknown key; did you mean gpus?",
        "resources.dice_metrics.cores: Input should be greater than or equal to 1",
        "resources.scene_split: holds 4, expected keys with values; known here: cores, memory_gb, gpus",
        "colour: unknown key; known here: name, description",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("split: {test_share: 0}", ["split.test_share: 0 leaves no test part to evaluate on", "evaluation.part: val"]),
        ("split: {test_share: 0, folds: 3}\nevaluation: {part: val}", ["split: test_share: 0 needs folds: 1"]),
        ("split: {test_share: -0.1}\nevaluation: {part: val}", ["split.test_share: "]),
        ("evaluation: {part: train}", ["evaluation.part: ", "'train'"]),
        ("report: {headline: iou}", ["report.headline: ", "'iou'"]),
    ],
)
def test_a_study_without_a_part_to_evaluate_on_is_told_what_to_do(
    tmp_path: Path, sections: str, expected: list[str]
) -> None:
    with pytest.raises(StudyError) as error:
        load_study(write_study(tmp_path / "s", STUDY + sections))
    assert all(words in str(error.value) for words in ["study.yaml", *expected])


def test_a_path_leaves_the_study_folder_only_as_an_absolute_one(tmp_path: Path) -> None:
    settings = """
name: paths
training: {bands: [B7]}
dataset:
  source: folder
  images: ../images
  masks: a/../../masks
  bands: [B7]
  pairs: {table: ../pairs.csv}
  groups: {table: ../groups.csv}
"""
    painted = "generator: {engine: files, images: ../painted, table: ../rows.csv}"
    folder = write_study(tmp_path / "s", settings, painted=painted)
    for keys, load in (
        (("images", "masks", "pairs.table", "groups.table"), lambda: load_study(folder)),
        (("images", "table"), lambda: load_augmentation(folder, "painted", None)),
    ):
        with pytest.raises(StudyError) as error:
            load()
        assert len(error.value.problems) == len(keys)
        for key, problem in zip(keys, error.value.problems, strict=True):
            assert f".{key}: leaves the study folder by '..'; write it as an absolute path" in problem
    absolute = settings.replace("a/../../", f"{tmp_path}/").replace("../", f"{tmp_path}/x/../")
    (folder / "study.yaml").write_text(absolute)
    assert load_study(folder).name == "paths"


def test_sections_that_do_not_fit_together_are_told_at_once(tmp_path: Path) -> None:
    text = STUDY.replace("[B2, B5, B6, B7]", "[B5, B6, B7]") + "split: {test_share: 0}"
    with pytest.raises(StudyError) as error:
        load_study(write_study(tmp_path / "s", text))
    assert "training.bands: B2 not among" in str(error.value) and "split.test_share: 0 leaves" in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "training", "shown"),
    [
        ("source: simulated, bands: [B2, B5, B6, B7]", "B2, B5, B6, B7", ("B7", "B6", "B2")),
        ("source: simulated, bands: [B5, B6, B7]", "B7, B6", ("B7",)),
        (
            "source: folder, images: i, masks: m, pairs: {table: p}, groups: {table: g}, bands: [R, G, B, NIR]",
            "NIR, R, G, B",
            ("NIR", "R", "G"),
        ),
        (
            "source: folder, images: i, masks: m, pairs: {table: p}, groups: {table: g}, bands: [B2, B6, B7, B8]",
            "B8, B6, B2",
            ("B8", "B6", "B2"),
        ),
        (
            "source: folder, images: i, masks: m, pairs: {table: p}, groups: {table: g}, bands: [R, G], composite: [G]",
            "R",
            ("G",),
        ),
    ],
)
def test_pictures_show_the_event_or_what_is_asked_for(
    tmp_path: Path, dataset: str, training: str, shown: tuple[str, ...]
) -> None:
    text = f"name: tiny\ndataset: {{{dataset}, patch_size: 64}}\ntraining: {{bands: [{training}]}}\n"
    assert load_study(write_study(tmp_path / "s", text)).composite == shown


@pytest.mark.parametrize(
    ("composite", "expected"),
    [("[B7, B6]", "takes three bands, or one"), ("[B7, B6, B9]", "B9 not among bands, which are B2, B5, B6, B7")],
)
def test_pictures_of_bands_that_are_not_there_are_refused(tmp_path: Path, composite: str, expected: str) -> None:
    text = STUDY.replace("patch_size: 64", f"patch_size: 64, composite: {composite}")
    with pytest.raises(StudyError, match=f"composite: {expected}"):
        load_study(write_study(tmp_path / "s", text))


def test_without_a_test_part_the_validation_part_can_be_evaluated(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s", STUDY + "split: {test_share: 0}\nevaluation: {part: val}"))
    assert (study.split.test_share, study.evaluation.part) == (0, "val")


def test_the_test_part_is_evaluated_unless_told_otherwise(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s"))
    assert (study.split.test_share, study.evaluation.part, study.report.headline) == (0.2, "test", "dice_micro")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("generator: {engine: natve}", "natve"),
        (
            "generator: {engine: native, crap: 32}\nsampling: {images: 2}",
            "generator.crap: unknown key; did you mean crop?",
        ),
        (
            "generator: {engine: native}\nsampling: {imags: 2}",
            "sampling.imags: unknown key; did you mean images?",
        ),
        ("generator: {engine: native}", "sampling.images: 0, but the engine paints"),
        ("sampling: {images: 3}", "engine `none` paints nothing"),
        ("generator: {engine: native, crop: 128}\nsampling: {images: 2}", "128 px is larger than a patch"),
        ("generator: {engine: copy-paste}\nsampling: {images: 5, max_tries: 4}", "less than images"),
        (
            "generator: {engine: native}\nmasks: {kind: annotated}\nsampling: {images: 5, pairing: complete}",
            "annotated masks stay on their own patches",
        ),
        (
            "generator: {engine: copy-paste}\nmasks: {kind: annotated}\nsampling: {images: 5}",
            "would add a fire to the one that burns",
        ),
        (
            "generator: {engine: files, images: painted}\nsampling: {images: 5}\nscreening: {min_changed: 0}",
            "would accept rows of the plan that have no image",
        ),
        (
            "generator: {engine: native}\nsampling: {images: 5, guidance_scale: 3, scheduler: euler}",
            "sampling.scheduler, guidance_scale: only engine stable-diffusion reads that",
        ),
        ("extends: nobody", "extends: there is no config 'nobody'; "),
        ("extends: wrong", "goes round in a circle"),
        ("- a list", "expected keys with values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_config_names_key_and_remedy(tmp_path: Path, config: str, expected: str) -> None:
    folder = write_study(tmp_path / "s", wrong=config)
    with pytest.raises(StudyError) as error:
        load_augmentation(folder, "wrong", load_study(folder))
    assert expected in str(error.value)
    assert ".yaml" in str(error.value)


def test_name_patterns_are_checked_with_the_study(tmp_path: Path) -> None:
    study = """
name: other
dataset:
  source: folder
  images: i
  masks: m
  bands: [red, nir]
  pairs: {image: '(?P<id>.+)_i.tif', mask: '(.+)_m.tif'}
  groups: {pattern: '(?P<group>[a-z'}
training: {bands: [red]}
"""
    with pytest.raises(StudyError) as error:
        load_study(write_study(tmp_path / "s", study))
    assert "dataset.pairs.mask: holds no named group (?P<id>...)" in str(error.value)
    assert "dataset.groups.pattern: not a regular expression" in str(error.value)


def test_detectors_need_their_bands_and_landsat(tmp_path: Path) -> None:
    config = "generator: {engine: copy-paste}\nsampling: {images: 1}\nscreening: {detectors: [murphy]}"
    few = write_study(tmp_path / "few", STUDY.replace("[B2, B5, B6, B7]", "[B2, B6, B7]"), c=config)
    with pytest.raises(StudyError, match="screening.detectors: murphy needs B5, which dataset.bands leaves out"):
        load_augmentation(few, "c", load_study(few))
    path = few / "augmentations" / "c.yaml"
    path.write_text(config + "\nmasks: {source: kumar-roy}")
    with pytest.raises(StudyError) as error:
        load_augmentation(few, "c", load_study(few))
    both = "\n".join(error.value.problems)
    assert "screening.detectors: murphy needs B5" in both
    assert "masks.source: kumar-roy needs B3, B4, B5" in both and "use source: label" in both
    other = write_study(
        tmp_path / "other",
        """
name: other
dataset: {source: folder, images: i, masks: m, bands: [red, nir], pairs: {table: t.csv}}
training: {bands: [red]}
""",
        c=config,
    )
    with pytest.raises(StudyError, match="made for Landsat DN"):
        load_augmentation(other, "c", load_study(other))


def test_a_setting_that_was_taken_over_is_told_where_it_is_written(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        STUDY.replace("[B2, B5, B6, B7]", "[B2, B6, B7]"),
        base="generator: {engine: copy-paste}\nsampling: {images: 1}\nscreening:\n  detectors: [murphy]",
        child="extends: base\ngenerator: {engine: native}",
    )
    for key in ("base", "child"):
        with pytest.raises(StudyError) as error:
            load_augmentation(folder, key, load_study(folder))
        assert f"{folder / 'augmentations' / 'base.yaml'}:4: screening.detectors: murphy needs B5" in str(error.value)


def test_extends_lays_sections_over_each_other_and_starts_another_engine_anew(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        STUDY.replace("[B2, B5, B6, B7]", "[B2, B4, B5, B6, B7]"),
        base="generator: {engine: native, crop: 48, steps: 7}\nsampling: {images: 9, seed: 4}\nmasks: {dilation: 2}",
        child="extends: base\nsampling: {images: 3}",
        other="extends: child\ngenerator: {engine: copy-paste}",
        boxes="extends: base\nmasks: {kind: box, whole: true, avoid: [water]}",
        seen="extends: boxes\nmasks: {source: murphy}",
        spread="extends: seen\nmasks: {kind: spread, wind: 2}",
        moved="extends: spread\nmasks: {kind: transplanted}",
    )
    study = load_study(folder)
    child = load_augmentation(folder, "child", study)
    assert (child.generator.crop, child.generator.steps) == (48, 7)  # type: ignore[union-attr]
    assert (child.sampling.images, child.sampling.seed, child.masks.dilation) == (3, 4, 2)
    assert load_augmentation(folder, "other", study).generator.engine == "copy-paste"
    # Who sees the real fires is a key of its own: it keeps the kind, and another kind keeps it.
    masks = {key: load_augmentation(folder, key, study).masks for key in ("boxes", "seen", "spread", "moved")}
    assert {key: (one.kind, one.source, one.dilation) for key, one in masks.items()} == {
        "boxes": ("box", "label", 2),
        "seen": ("box", "murphy", 2),
        "spread": ("spread", "murphy", 2),
        "moved": ("transplanted", "murphy", 2),
    }
    assert all(one.whole and one.avoid == ("water",) for one in masks.values())


@pytest.mark.parametrize(("key", "value"), [("avoid", "[water, cloud]"), ("beside", "[smoke, scar]")])
@pytest.mark.parametrize(
    ("dataset", "kind", "expected"),
    [
        ("source: simulated, bands: [B2, B5, B6, B7]", "box", "masks.avoid: needs B4, which dataset.bands leaves out"),
        ("source: simulated, bands: [B2, B4, B5, B6, B7]", "annotated", "masks.avoid: annotated masks stay where real"),
        ("source: folder, images: i, masks: m, pairs: {table: t}, groups: {table: g}, bands: [B7, B6, B2]", "box",
         "masks.avoid: told by Landsat's reflectance; with source `folder` leave it out"),
    ],
)  # fmt: skip
def test_ground_that_cannot_be_told_is_neither_avoided_nor_painted_on(
    tmp_path: Path, dataset: str, kind: str, expected: str, key: str, value: str
) -> None:
    text = f"name: t\ndataset: {{{dataset}}}\ntraining: {{bands: [B7, B6, B2]}}\n"
    config = f"generator: {{engine: native}}\nsampling: {{images: 1}}\nmasks: {{kind: {kind}, {key}: {value}}}"
    folder = write_study(tmp_path / "s", text, c=config)
    with pytest.raises(StudyError) as error:
        load_augmentation(folder, "c", load_study(folder))
    assert expected.replace("avoid", key) in str(error.value)


def test_missing_folders_and_keys_that_are_no_slugs(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such study folder; name one with a study.yaml"):
        load_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match="no such study folder"):
        augmentation_keys(tmp_path / "nowhere")
    empty = write_study(tmp_path / "empty")
    with pytest.raises(StudyError, match="add at least one augmentation config"):
        augmentation_keys(empty)
    named = write_study(tmp_path / "named", **{"Not a key": ""})
    with pytest.raises(StudyError, match="rename it"):
        augmentation_keys(named)


def test_batches_have_room_for_each_kind() -> None:
    assert load_study(DATA / "demo").training.batch_composition == (2, 2, 2)
    assert load_study(DATA / "activefire").training.batch_composition == (4, 2, 2)


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        ("training: {bands: [B7], steps: true}", "study.yaml:4: training: steps: is true or false, a number is meant"),
        (
            "training: {bands: [B7]}\nreplicates: {seed: false}",
            "study.yaml:5: replicates: seed: is true or false, a number",
        ),
        ("training: {bands: [B7], steps: yes}", "study.yaml:4: training.steps: YAML reads yes as true or false"),
        ("training: {bands: [B7]}\ntraining: {bands: [B6]}", "study.yaml:5: training: stands in line 4 too"),
        ("training: {bands: [2, 6, 7]}", "study.yaml:4: training.bands.0: a band's name is text; write B2"),
        (
            "training: {bands: [B7]}\nevaluation: {part: tset}",
            "evaluation.part: 'tset' is unknown; known are 'test' or",
        ),
        ("training: {bands: [B7]}\nevaluation: {part: tset}", "did you mean test?"),
    ],
)
def test_what_is_no_number_name_or_choice_is_told_with_the_right_one(tmp_path: Path, study: str, expected: str) -> None:
    folder = write_study(tmp_path / "s", "name: tiny\n\ndataset: {source: simulated}\n" + study)
    with pytest.raises(StudyError) as error:
        load_study(folder)
    assert expected in str(error.value)


def test_contrasts_name_two_configs_of_the_study(tmp_path: Path) -> None:
    study = "name: tiny\ndataset: {source: simulated}\ntraining: {bands: [B7]}\n"
    named = "report: {contrasts: [[native, nativ], [native, native], [native, baseline]]}"
    configs = {"native": "generator: {engine: native}\nsampling: {images: 1}", "baseline": "generator: {engine: none}"}
    folder = write_study(tmp_path / "s", study + named, **configs)
    with pytest.raises(StudyError) as error:
        load_study(folder)
    assert [problem.partition("contrasts: ")[2] for problem in error.value.problems] == [
        "'nativ' is no config of the study; there are baseline, native",
        "'native' is compared with itself",
    ]


def test_a_mistake_is_told_where_it_was_written(tmp_path: Path) -> None:
    """In the config that is extended, not in the one that extends it."""
    folder = write_study(
        tmp_path / "s",
        parent="generator:\n  engine: copy-paste\nsampling:\n  images: 4\n  stepz: 3",
        child="extends: parent\n\nsampling: {images: many}",
    )
    with pytest.raises(StudyError) as error:
        load_augmentation(folder, "child", load_study(folder))
    configs = folder / "augmentations"
    assert [problem.split(";")[0] for problem in sorted(error.value.problems)] == [
        f"{configs / 'child.yaml'}:3: sampling.images: Input should be a valid integer, unable to parse string as an "
        "integer (given: 'many')",
        f"{configs / 'parent.yaml'}:5: sampling.stepz: unknown key",
    ]


def test_what_is_missing_is_looked_for_in_the_file_that_was_named(tmp_path: Path) -> None:
    """Not where a config that is extended had it: another engine on the way dropped that section."""
    folder = write_study(
        tmp_path / "s",
        painted="generator:\n  engine: files\n  images: paint",
        between="extends: painted\ngenerator: {engine: copy-paste}",
        again="extends: between\ngenerator: {engine: files}",
    )
    with pytest.raises(StudyError, match=r"^\S*again\.yaml: generator\.images: missing; add it$"):
        load_augmentation(folder, "again", load_study(folder))


def test_a_misspelt_engine_is_told_with_the_nearest(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", a="generator: {engine: nativ}")
    with pytest.raises(StudyError, match=r"generator.engine: 'nativ' is unknown; known are .*; did you mean native\?"):
        load_augmentation(folder, "a", load_study(folder))


def test_files_of_another_ending_are_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", a="generator: {engine: none}")
    (folder / "augmentations" / "b.yml").touch()
    with pytest.raises(StudyError, match=r"b\.yml: rename it; the name of a config ends in \.yaml"):
        augmentation_keys(folder)
    (folder / "study.yaml").rename(folder / "study.yml")
    with pytest.raises(StudyError, match=r"study\.yaml: missing; rename study\.yml to study\.yaml"):
        load_study(folder)


def test_a_value_that_is_a_number_or_a_word_is_told_once_and_with_its_line(tmp_path: Path) -> None:
    config = """generator: {engine: copy-paste}
sampling: {images: 1}
screening:
  min_changed: 2
  min_detected: automatic
  rules:
    - {rule: seam, max_contrast: -1}
    - {rule: cold, max_share: full}
"""
    folder = write_study(tmp_path / "s", own=config)
    with pytest.raises(StudyError) as error:
        load_augmentation(folder, "own", load_study(folder))
    assert [problem.partition("own.yaml:")[2] for problem in error.value.problems] == [
        "4: screening.min_changed: Input should be less than or equal to 1 (given: 2)",
        "5: screening.min_detected: 'automatic' is unknown; known are 'auto'; did you mean auto?",
        "7: screening.rules.0.max_contrast: Input should be greater than 0 (given: -1)",
        "8: screening.rules.1.max_share: 'full' is unknown; known are 'auto'",
    ]
