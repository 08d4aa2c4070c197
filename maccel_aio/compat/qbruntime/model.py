"""The model of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Tuple, Union  # noqa: F401, UP035 - as there

import numpy as np  # noqa: F401 - clients can reach it

from maccel_aio._typing import override
from maccel_aio.compat._shared import devices
from maccel_aio.compat._shared.cache import QbRuntimeCaches
from maccel_aio.compat._shared.log import package_logger
from maccel_aio.compat._shared.model import BaseModel
from maccel_aio.compat._shared.qbruntime_state import QbRuntimeState
from maccel_aio.compat.qbruntime import qbruntime as _raw
from maccel_aio.compat.qbruntime.accelerator import Accelerator
from maccel_aio.compat.qbruntime.future import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.future import Future
from maccel_aio.compat.qbruntime.model_variant_handle import *  # noqa: F403
from maccel_aio.compat.qbruntime.model_variant_handle import (
    ModelVariantHandle,
    input_type,
    make_scale,
)
from maccel_aio.compat.qbruntime.pinned_memory import PinnedMemory  # noqa: F401 - as there
from maccel_aio.compat.qbruntime.placed_calls import PlacedCalls
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError
from maccel_aio.compat.qbruntime.type import *  # noqa: F403
from maccel_aio.compat.qbruntime.type import (
    BatchParam,
    CacheInfo,
    CacheType,
    Cluster,
    Core,
    CoreId,
    CoreMode,
    DataType,
    ModelConfig,
    Scale,
)

if TYPE_CHECKING:
    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.config_state import Place
    from maccel_aio.compat._shared.tensor import Tensor

__all__ = ["Model", "load"]


class Model(
    PlacedCalls, QbRuntimeCaches[CacheInfo], BaseModel[QbRuntimeState, Scale, CoreId, CoreMode]
):
    """A model file; calls need it launched. Any thread, also many at one time.

    Args:
        path: of the ``.mxq`` file.
        model_config: which cores; copied.

    Raises:
        TypeError: if the path is none.
        QbRuntimeError: if the file cannot be read, or the configuration does not fit it.
    """

    _error = QbRuntimeError
    _log = package_logger("qbruntime")
    _cache_info = CacheInfo
    _cache_types = CacheType
    _acc: Accelerator | None

    def __init__(self, path: str, model_config: ModelConfig | None = None) -> None:
        config = ModelConfig() if model_config is None else model_config
        super().__init__(path, config._model_config, symmetric=False)  # noqa: SLF001 - inner layer

    def launch(self, acc: Accelerator) -> None:
        """Load the model onto an accelerator, which it keeps open. Blocks.

        Raises:
            QbRuntimeError: ``Model_AlreadyLaunched``, or why it cannot be loaded.
        """
        self._model.launch(acc._accelerator)  # noqa: SLF001 - the inner layer
        self._acc = acc

    def dispose(self) -> None:
        """Cancel what is queued, wait for what runs, and unload. Idempotent. Blocks."""
        self._model.dispose()
        self._acc = None

    def infer(
        self,
        inputs: Array | list[Array],
        outputs: list[Array] | None = None,
        cache_size: int = 0,
        params: list[BatchParam] | None = None,
    ) -> list[Array] | None:
        """Run the model once. Blocks.

        Args:
            inputs: one array, or a list with one array an input, in HWC order or in CHW order,
                with a dimension over the items in front or without. float32, uint8 pixels for a
                model that takes those, or int8 with the scale of ``get_input_scale``.
            outputs: a list of arrays to write to; an empty one is filled.
            cache_size: tokens in the KV cache.
            params: one for each sequence of a batched language model.

        Returns:
            The outputs, in the order of the inputs' dimensions; None if ``outputs`` is given.

        Raises:
            ValueError: if arrays do not fit.
            QbRuntimeError: if the model is not launched, or the device fails.
        """
        return self._model.infer(inputs, outputs, cache_size, params=params)

    def infer_hwc(
        self,
        inputs: Array | list[Array],
        outputs: list[Array] | None = None,
        cache_size: int = 0,
        params: list[BatchParam] | None = None,
    ) -> list[Array] | None:
        """Run the model once on arrays in HWC order: see ``infer``.

        Args:
            inputs: as for ``infer``.
            outputs: as for ``infer``.
            cache_size: as for ``infer``.
            params: as for ``infer``.

        Raises:
            ValueError: if arrays do not fit, or only in CHW order.
            QbRuntimeError: as ``infer`` does.
        """
        return self._model.infer(inputs, outputs, cache_size, params=params, wanted=True)

    def infer_chw(
        self,
        inputs: Array | list[Array],
        outputs: list[Array] | None = None,
        cache_size: int = 0,
        params: list[BatchParam] | None = None,
    ) -> list[Array] | None:
        """Run the model once on arrays in CHW order: see ``infer``.

        Args:
            inputs: as for ``infer``.
            outputs: as for ``infer``.
            cache_size: as for ``infer``.
            params: as for ``infer``.

        Raises:
            ValueError: if arrays do not fit, or only in HWC order.
            QbRuntimeError: as ``infer`` does.
        """
        return self._model.infer(inputs, outputs, cache_size, params=params, wanted=False)

    def infer_to_float(self, inputs: Array | list[Array], cache_size: int = 0) -> list[Array]:
        """Run the model once on int8 inputs, for float32 outputs. Blocks.

        Args:
            inputs: as for ``infer``.
            cache_size: tokens in the KV cache.

        Raises:
            ValueError: if the arrays do not fit.
            QbRuntimeError: as ``infer`` does; also if the inputs are not int8.
        """
        return self._model.infer(inputs, None, cache_size, to_float=True) or []

    def infer_hwc_to_float(self, inputs: Array | list[Array], cache_size: int = 0) -> list[Array]:
        """Run the model once on int8 inputs in HWC order: see ``infer_to_float``.

        Args:
            inputs: as for ``infer``.
            cache_size: as for ``infer``.

        Raises:
            ValueError: if the arrays do not fit, or only in CHW order.
            QbRuntimeError: as ``infer_to_float`` does.
        """
        return self._model.infer(inputs, None, cache_size, wanted=True, to_float=True) or []

    def infer_chw_to_float(self, inputs: Array | list[Array], cache_size: int = 0) -> list[Array]:
        """Run the model once on int8 inputs in CHW order: see ``infer_to_float``.

        Args:
            inputs: as for ``infer``.
            cache_size: as for ``infer``.

        Raises:
            ValueError: if the arrays do not fit, or only in HWC order.
            QbRuntimeError: as ``infer_to_float`` does.
        """
        return self._model.infer(inputs, None, cache_size, wanted=False, to_float=True) or []

    def infer_async(self, inputs: Array | list[Array]) -> Future:
        """Submit and return at once; blocks only while 64 calls of this thread are in flight.

        Args:
            inputs: as for ``infer``; to be left alone until the result is there.

        Raises:
            ValueError: if the arrays do not fit.
            QbRuntimeError: as ``infer`` does.
        """
        return self._begin(inputs, to_float=False)

    def infer_async_to_float(self, inputs: Array | list[Array]) -> Future:
        """Submit int8 inputs for float32 outputs, and return at once: see ``infer_async``.

        Args:
            inputs: as for ``infer_async``.

        Raises:
            ValueError: if the arrays do not fit.
            QbRuntimeError: as ``infer_to_float`` does.
        """
        return self._begin(inputs, to_float=True)

    def _begin(self, inputs: Array | list[Array], to_float: bool) -> Future:
        kept = inputs if isinstance(inputs, list) else [inputs]
        return Future.from_cpp(self._model.begin(inputs, to_float=to_float), kept)

    def get_model_variant_handle(self, variant_idx: int) -> ModelVariantHandle:
        """Return a handle of a variant.

        Args:
            variant_idx: from 0 to ``get_num_model_variants() - 1``.

        Raises:
            TypeError: if it is no integer.
            QbRuntimeError: ``Model_InvalidVariantIdx``.
        """
        return ModelVariantHandle.from_cpp(self._model.variant(variant_idx))

    def get_device_names(self) -> list[str]:
        """Return the names of the hardware that the model was compiled for."""
        return devices.available()

    def get_model_input_data_type(self) -> DataType:
        """Return what callers bring: Float32, or Uint8 for pixels."""
        return input_type(self._variant().inputs[0])

    def get_model_output_data_type(self) -> DataType:
        """Return what callers get."""
        return DataType.Float32

    @override
    def _scale(self, tensor: Tensor) -> Scale:
        return make_scale(tensor)

    @override
    def _mode(self, number: int) -> CoreMode:
        return CoreMode(_raw.CoreMode(number))

    @override
    def _core_id(self, place: Place) -> CoreId:
        cluster, core = place
        return CoreId(Cluster(_raw.Cluster(cluster)), Core(_raw.Core(core)))


def load(path: str, model_config: ModelConfig | None = None) -> Model:
    """Open the accelerator, and load and launch a model, in one step. Blocks.

    Args:
        path: of the ``.mxq`` file.
        model_config: which cores; copied.

    Raises:
        TypeError: if the path is none.
        QbRuntimeError: if one of the steps fails.
    """
    acc = Accelerator()
    model = Model(path, model_config)
    model.launch(acc)
    return model
