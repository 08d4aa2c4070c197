"""Programs as bytes: records say what the views say."""

import numpy as np

from maccel_aio.compiler import isa
from maccel_aio.compiler.lower import Lowered
from maccel_aio.compiler.lower.emit import Emitter
from maccel_aio.compiler.planner import plan
from maccel_aio.compiler.program import encode, tensor_record
from maccel_aio.compiler.view import Buffer, View


def test_a_tensor_record_is_its_view():
    buffer = Buffer(100, offset=640)
    view = View(buffer, (2, 3), (16, 4), "u8", 0.5, 7, 32, pad_channels=True)
    record = tensor_record(view)
    assert int(record["offset"]) == 672
    assert record["dims"].tolist() == [2, 3, 1, 1, 1, 1]
    assert record["stride"].tolist() == [16, 4, 0, 0, 0, 0]
    assert (int(record["dtype"]), int(record["rank"]), int(record["flags"])) == (1, 2, 1)
    assert (float(record["scale"]), int(record["zero"])) == (0.5, 7)


def test_sections_have_the_lengths_that_the_header_says():
    emitter = Emitter()
    source, out = (View(emitter.buffer(12), (3,), (4,), "f32") for _ in range(2))
    emitter.input(source, None)
    emitter.emit(isa.Op.ELTWISE, [source], [out], consts={5: np.ones(3, np.float32)}, ints={10: 2})
    emitter.output(out)
    lowered = Lowered(emitter, plan(emitter.buffers), ((0,),), ((0,),))
    program, consts = encode(lowered, num_layers=1, macs=5)
    header = np.frombuffer(program, isa.PROGRAM_HEADER, 1)[0]
    assert int(header["const_bytes"]) == len(consts) == 64
    assert len(program) == 96 + 24 + 2 * 96 + 48 + 256
    insn = np.frombuffer(program[-256:], isa.INSN)[0]
    assert insn["in"].tolist() == [0, *[isa.NONE] * 5]
    assert insn["cst"][5] == 0
    assert insn["f"][3] == insn["f"][4] == 1.0
