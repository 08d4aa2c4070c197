"""Histograms of durations in log-spaced buckets: counting costs a few machine instructions."""

from __future__ import annotations

from typing import NamedTuple

#: Buckets per octave: a percentile is known to 1 part in 4 of its octave at worst.
_PER_OCTAVE = 4
#: Durations up to 2**40 ns, a quarter of an hour; what is longer counts as that.
BUCKETS = 40 * _PER_OCTAVE


def bucket_of(duration_ns: int) -> int:
    """Return the bucket that a duration falls into."""
    bits = duration_ns.bit_length()
    if bits < 3:
        return max(duration_ns, 0)
    return min((bits << 2) + ((duration_ns >> (bits - 3)) & 3), BUCKETS - 1)


def lower_bound_ns(bucket: int) -> int:
    """Return the shortest duration of a bucket."""
    bits, quarter = bucket >> 2, bucket & 3
    return bucket if bits == 0 else (4 + quarter) << bits >> 3


class Histogram(NamedTuple):
    """A snapshot of how often durations fell into buckets that grow by about a fifth each."""

    counts: tuple[int, ...] = (0,) * BUCKETS

    @property
    def total(self) -> int:
        """Number of durations."""
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """Return the duration that ``share`` per cent do not exceed, nanoseconds; 0 if empty.

        Linear between the bounds of its bucket.

        Args:
            share: 0 to 100.
        """
        rank = self.total * share / 100
        seen = 0
        for bucket, count in enumerate(self.counts):
            if count and seen + count >= rank:
                low, high = lower_bound_ns(bucket), lower_bound_ns(bucket + 1)
                return low + (high - low) * (rank - seen) / count
            seen += count
        return 0.0

    def filled(self) -> list[tuple[int, int, int]]:
        """Return (lower bound, upper bound, count) of the buckets that hold something."""
        return [
            (lower_bound_ns(bucket), lower_bound_ns(bucket + 1), count)
            for bucket, count in enumerate(self.counts)
            if count
        ]
