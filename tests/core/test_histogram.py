"""Log-spaced buckets: every duration has one, and percentiles are as exact as the buckets."""

import random

import pytest

from maccel_aio._core._histogram import BUCKETS, Histogram, bucket_of, lower_bound_ns


def test_every_duration_lies_within_its_bucket():
    rng = random.Random(1)
    durations = [*range(200), *(rng.randrange(1 << rng.randrange(1, 40)) for _ in range(5000))]
    for duration in durations:
        bucket = bucket_of(duration)
        assert lower_bound_ns(bucket) <= duration
        later = next(b for b in range(bucket + 1, BUCKETS + 8) if lower_bound_ns(b) > duration)
        assert all(lower_bound_ns(b) <= duration for b in range(bucket, later - 1)) or later


def test_buckets_grow_and_are_narrow():
    filled = sorted({bucket_of(n) for n in [*range(64), *(1 << k for k in range(6, 39))]})
    bounds = [lower_bound_ns(bucket) for bucket in filled]
    assert bounds == sorted(bounds)
    for duration in (100, 1000, 12345, 10**6, 10**9):
        bucket = bucket_of(duration)
        assert lower_bound_ns(bucket + 1) <= 1.26 * lower_bound_ns(bucket)


@pytest.mark.parametrize("duration", [-5, 0, 1 << 60])
def test_what_is_out_of_range_has_a_bucket(duration):
    assert 0 <= bucket_of(duration) < BUCKETS


def test_percentiles():
    counts = [0] * BUCKETS
    durations = list(range(1000, 101000, 100))
    for duration in durations:
        counts[bucket_of(duration)] += 1
    histogram = Histogram(tuple(counts))
    assert histogram.total == 1000
    for share in (1, 25, 50, 90, 99):
        exact = durations[int(share * 10) - 1]
        assert histogram.percentile(share) == pytest.approx(exact, rel=0.25)
    assert sum(count for _, _, count in histogram.filled()) == 1000
    assert all(low < high for low, high, _ in histogram.filled())


def test_an_empty_histogram():
    assert Histogram().percentile(99) == 0
    assert Histogram().filled() == []
