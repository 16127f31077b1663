"""What every other folder may use: seeds, processes, files, masks and pictures. It knows none of them."""
