"""`make bench`: every benchmark, one table row a figure."""

from firefusion_assets_tests.benchmarks import import_time, ingest_memory, paint


def main() -> None:
    """Run all benchmarks."""
    print(f"{'figure':<58} {'ours':>12} {'baseline':>12} {'ratio':>7}")
    for benchmark in (import_time, ingest_memory, paint):
        for figure, ours, baseline in benchmark.measure():
            print(f"{figure:<58} {ours:>12.3f} {baseline:>12.3f} {ours / baseline:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
