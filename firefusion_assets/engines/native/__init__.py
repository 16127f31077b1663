"""Engine `native`: a small diffusion model over all bands, trained from scratch on the train part."""
