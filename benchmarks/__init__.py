"""How fast sipstack is: against the memchr floor, against its own plain implementation, against the other parsers.

`python -m benchmarks` measures and prints the table; `pytest benchmarks` is the same work under pytest-benchmark.
docs/performance.md says what is measured and how.
"""
