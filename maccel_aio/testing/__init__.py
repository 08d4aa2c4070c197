"""For tests of programs that use the library: an NPU that fails as it is told, a tiny model.

::

    async with testing.faulty_accelerator(delay=0.05, fail_every=3) as accelerator:
        async with accelerator.load(testing.tiny_model(tmp_path / "tiny.mxq")) as model:
            ...

No extra is needed. ``maccel_aio.testing.plugin`` has the same as pytest fixtures.
"""

from __future__ import annotations

from maccel_aio.testing._faulty import faulty_accelerator as faulty_accelerator
from maccel_aio.testing._recorder import Recorder as Recorder
from maccel_aio.testing._tiny import tiny_model as tiny_model

__all__ = ["Recorder", "faulty_accelerator", "tiny_model"]
