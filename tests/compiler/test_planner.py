"""Buffers that live together never overlap, whatever their sizes and lifetimes."""

from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.planner import SLACK, align, plan
from maccel_aio.compiler.view import FOREVER, Buffer

SPANS = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(-1, 20), st.integers(0, 20)), max_size=25
)


@given(SPANS)
def test_buffers_that_meet_in_time_are_apart_in_memory(spans):
    buffers = [Buffer(size, first, first + length) for size, first, length in spans]
    total = plan(buffers)
    for k, a in enumerate(buffers):
        assert a.offset % 64 == 0
        assert a.offset + a.size <= total
        for b in buffers[:k]:
            meet = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.size + SLACK <= b.offset or b.offset + b.size + SLACK <= a.offset
            assert apart or not meet


def test_memory_is_used_again_when_its_owner_is_done():
    chain = [Buffer(1000, k, k + 1) for k in range(10)]
    assert plan(chain) == 2 * align(1000 + SLACK)


def test_gaps_are_used_before_the_arena_grows():
    fixed = [Buffer(640, 0, 9), Buffer(512, 0, 4), Buffer(384, 0, 9), Buffer(256, 0, 4)]
    plan(fixed)
    late = Buffer(192, 5, 9)
    total = plan([*fixed, late])
    assert late.offset == fixed[1].offset
    assert total == 640 + 512 + 384 + 256 + 4 * SLACK


def test_buffers_that_nobody_uses_take_no_room():
    assert plan([Buffer(1 << 20)]) == 64
    assert plan([Buffer(100, 0, FOREVER), Buffer(1 << 20)]) == align(100 + SLACK)


def test_merged_buffers_share_the_place_of_their_root():
    root = Buffer(100, 0, 3)
    merged = Buffer(100, 2, 3, alias=root)
    plan([root, merged])
    assert merged.offset == -1
    assert merged.root is root
