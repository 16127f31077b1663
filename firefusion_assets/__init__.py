"""FireFusion: does diffusion-made training data help rare-event segmentation, by how much, and can it be trusted?"""
