"""Where our packages differ from the vendor's on purpose: the table of docs/compat.md.

Each entry is a program for a fresh interpreter, where ``p`` is the package. What it prints, and how
it ends, must differ; an entry that no longer does has to go, here and in the page.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """One row of the table."""

    program: str
    packages: tuple[str, ...] = ("maccel", "qbruntime")


DIFFERENCES = {
    "scale-out-of-range": Difference("print(p.Scale(0.5, False, [])[10**8])"),
    "scale-iteration": Difference(
        "import itertools; print(len(list(itertools.islice(p.Scale(0.5, True, []), 9))))"
    ),
    "buffer-keeps-contents": Difference(
        "import numpy; b = p.Buffer(); b.set_buffer(numpy.zeros(8, 'int8')); print(b.size)"
    ),
    "buffer-info-size": Difference(
        "print(p.BufferInfo(height=65536, width=65536, channel=1).size())"
    ),
    "core-id-hash": Difference("print(len({p.CoreId(p.Cluster.Cluster0, p.Core.Core0)}))"),
    "core-id-equals-others": Difference(
        "print(p.CoreId(p.Cluster.Cluster0, p.Core.Core0) == None)"
    ),
    "core-id-order": Difference("c = p.CoreId(p.Cluster.Cluster0, p.Core.Core0); print(c <= c)"),
    "config-count-refused": Difference("p.ModelConfig(0); print('made')"),
    "config-copy": Difference(
        "import copy; c = p.ModelConfig(); copy.copy(c).set_single_core_mode(2); "
        "print(c.get_num_cores())"
    ),
    "config-pickle": Difference("import pickle; pickle.dumps(p.ModelConfig()); print('made')"),
    "value-pickle": Difference("import pickle; pickle.dumps(p.BufferInfo()); print('made')"),
    "log-not-stdout": Difference("p.ModelConfig().force_single_npu_bundle(-2)"),
    "second-trace": Difference(
        "import tempfile; d = tempfile.mkdtemp(); p.start_tracing_events(d + '/a'); "
        "print(p.start_tracing_events(d + '/b'))"
    ),
    "summary-of-a-path": Difference(
        "import pathlib; print(p.get_model_summary(pathlib.Path('nope.mxq')) == '')"
    ),
}
