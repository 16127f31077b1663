"""A study whose long steps take seconds, so that they can be killed in the middle."""

SLOWER = {
    "baseline": "generator: {engine: none}",
    "native": """
generator: {engine: native, crop: 16, steps: 60, batch_size: 2, channels: [8, 16], checkpoint_every: 10}
sampling: {images: 12, max_tries: 24, batch_size: 2, steps: 30}
screening: {detectors: [murphy], min_changed: 0, min_detected: 0}
""",
}
SLOWER_STUDY = """
name: tiny
dataset: {source: simulated, scenes: 6, patches_per_scene: 4, patch_size: 32, fire_share: 0.5, seed: 3}
training: {bands: [B7, B6, B2], filters: 4, steps: 80, batch_size: 4, validate_every: 10}
replicates: {count: 2}
"""
