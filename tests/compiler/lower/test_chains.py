"""Which instructions form a chain, and which rows they read."""

import pytest

from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower.chains import Rows, find_chains, written_in_place
from maccel_aio.compiler.lower.emit import Emitter
from maccel_aio.compiler.view import View


def image(emitter, rows=8, width=4, channels=2):
    buffer = emitter.buffer(rows * width * channels)
    dims = (1, rows, width, channels)
    return View(buffer, dims, (rows * width * channels, width * channels, channels, 1), "u8")


def conv(emitter, source, out, residual=None, kernel=3):
    pad = kernel // 2
    ints = dict(enumerate((kernel, kernel, 1, 1, pad, pad, pad, pad, 1, 1)))
    return emitter.emit(Op.CONV, [source, residual], [out], ints=ints)


def chain_of(emitter, length, residual=None):
    views = [image(emitter) for _ in range(length + 1)]
    for k in range(length):
        conv(emitter, views[k], views[k + 1])
    emitter.input(views[0], None)
    emitter.output(views[-1])
    return views


def test_rows_follow_from_the_window():
    rows = Rows(taps=3, step=2, before=1, size=9)
    assert rows.needed(0, 2) == (0, 4)
    assert rows.pads(0, 2) == (1, 0)
    assert rows.needed(3, 5) == (5, 9)
    assert rows.pads(3, 5) == (0, 1)


def test_images_that_only_the_next_one_reads_are_links():
    emitter = Emitter()
    chain_of(emitter, 3)
    assert find_chains(emitter.instructions) == [(0, 3)]


def test_an_image_that_is_read_again_ends_a_chain():
    emitter = Emitter()
    views = chain_of(emitter, 3)
    conv(emitter, views[2], image(emitter))
    assert find_chains(emitter.instructions) == [(0, 2)]


def test_an_output_of_the_program_ends_a_chain():
    emitter = Emitter()
    views = chain_of(emitter, 2)
    emitter.output(views[1])
    assert find_chains(emitter.instructions) == []


def test_other_operations_are_no_part_of_chains():
    emitter = Emitter()
    a, b, c = (image(emitter) for _ in range(3))
    conv(emitter, a, b)
    emitter.emit(Op.MAP, [b], [c])
    assert find_chains(emitter.instructions) == []


def test_a_residual_may_be_overwritten_by_the_last_one_only():
    emitter = Emitter()
    a, b, c = (image(emitter) for _ in range(3))
    emitter.input(a, None)
    conv(emitter, a, b)
    conv(emitter, b, c, residual=a)
    assert written_in_place(emitter.instructions) is None
    emitter.merge_in_place()
    assert written_in_place(emitter.instructions) is a.buffer
    other = Emitter()
    a, b, c = (image(other) for _ in range(3))
    conv(other, a, b)
    conv(other, b, c)
    c.buffer.alias = a.buffer
    shifted = View(a.buffer, a.dims, a.strides, "u8", offset=4)
    other.instructions[0].inputs[0] = shifted
    with pytest.raises(ValueError, match="overwritten"):
        written_in_place(other.instructions)
