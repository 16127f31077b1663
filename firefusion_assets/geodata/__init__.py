"""Files that GIS programs open: Cloud Optimized GeoTIFFs and GeoPackages."""
