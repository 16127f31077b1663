"""The inpainting engines: what paints a fire into a real patch, a folder each.

An engine's `settings.py` holds its settings and whatever the lineage asks of it (`study.engine.Engine`); how it learns
and paints lies beside that, and is imported only when a config names the engine. Nothing outside an engine's folder
names it: it is found by its entry point (`study.registry`). This folder holds what several engines share.
"""
