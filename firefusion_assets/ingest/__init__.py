"""Raw input to the base store: sources, patches, products, groups and the split."""
