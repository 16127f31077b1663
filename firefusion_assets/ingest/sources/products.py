"""Whole products as a source: labelled by detectors, since they have no annotations."""

from dataclasses import dataclass
from pathlib import Path

from firefusion_assets.ingest.sources.patch_inputs import below
from firefusion_assets.landsat.products.product import ProductFiles, find_products
from firefusion_assets.study.datasets import LandsatDataset


@dataclass(frozen=True)
class ProductListing:
    """All products of a source.

    Attributes:
        dataset: how they are cut and labelled.
        products: sorted by scene.
        problems: one line for each product that is refused.
        raw_input: sorted (name, bytes, stamp) of every file, for the fingerprint.
    """

    dataset: LandsatDataset
    products: list[ProductFiles]
    problems: list[str]
    raw_input: list[tuple[str, int, int]]


def list_products(dataset: LandsatDataset, study_folder: Path) -> ProductListing:
    """List the products of a study; none is opened yet.

    Raises:
        FileNotFoundError: if the folder is missing or holds no product.
    """
    root = below(study_folder, dataset.products)
    products, problems = find_products(root)
    files = [file for product in products for file in product.raw_input()]
    # Refused products are in the list of bad files, which is published too.
    refused = [(problem.replace(f"{root}/", ""), 0, 0) for problem in problems]
    return ProductListing(dataset, products, problems, sorted(files + refused))
