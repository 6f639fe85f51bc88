"""Benchmarks: ours against what a user would write instead, one file each, one runner (`python -m benchmarks run`)."""
