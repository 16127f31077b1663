"""Whole products as a source: labelled by detectors, since they have no annotations."""

from dataclasses import dataclass
from pathlib import Path

from firefusion_assets.ingest.sources.patch_inputs import below
from firefusion_assets.ingest.sources.settings import LandsatDataset
from firefusion_assets.landsat.products.product import ProductFiles, find_products
from firefusion_assets.study.source import Listing


@dataclass(frozen=True, kw_only=True)
class ProductListing(Listing):
    """All products of a source.

    Attributes:
        dataset: how they are cut and labelled.
        products: sorted by scene.
    """

    dataset: LandsatDataset
    products: list[ProductFiles]

    def found(self) -> str:
        """Return how many products there are."""
        return f"{len(self.products)} products"


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
    return ProductListing(dataset=dataset, products=products, problems=problems, raw_input=sorted(files + refused))
