"""`make bench`: every benchmark, one table row a figure; some of them alone by `python -m ... NAME`."""

import argparse

from benchmarks import (
    claims,
    detectors,
    fire_map,
    import_time,
    ingest,
    ingest_memory,
    memory,
    native,
    overheads,
    paint,
    patch_store,
    product_memory,
    screening,
    stable_diffusion,
    training,
    verification,
)

_BENCHMARKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        import_time,
        ingest_memory,
        product_memory,
        ingest,
        patch_store,
        stable_diffusion,
        memory,
        detectors,
        training,
        verification,
        overheads,
        claims,
        paint,
        screening,
        native,
        fire_map,
    )
}


def main() -> None:
    """Run all benchmarks, or those that are named."""
    parser = argparse.ArgumentParser(description="Measure against plain baselines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_BENCHMARKS)}; all by default")
    names = parser.parse_args().names
    if unknown := set(names) - set(_BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(_BENCHMARKS)}")
    print(f"{'figure':<58} {'ours':>12} {'baseline':>12} {'ratio':>7}")
    for name in names or _BENCHMARKS:
        for figure, ours, baseline in _BENCHMARKS[name].measure():
            print(f"{figure:<58} {ours:>12.3f} {baseline:>12.3f} {ours / baseline:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
