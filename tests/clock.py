"""A clock for what a test says about cost: this thread's CPU time, which a busy machine does not stretch."""

import time

FINE = time.get_clock_info("thread_time").resolution < 1e-6
clock = time.thread_time if FINE else time.perf_counter
