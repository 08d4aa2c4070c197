"""The KV-cache calls of both packages, on a small model with a cache."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maccel_aio.compat import maccel, qbruntime
from tests import kvmodel

WEIGHTS = kvmodel.Weights()
X = np.random.default_rng(3).normal(0, 1, (1, 40, kvmodel.HIDDEN)).astype(np.float32)
Y = WEIGHTS.expected(X[0])[np.newaxis]
SIZE = 40 * 8 * 4
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(kvmodel.build(tmp_path_factory.mktemp("kv") / "kv.mxq", 4, 3, WEIGHTS))


@pytest.fixture
def model(package: ModuleType, path: str) -> Any:
    made = package.load(path)
    yield made
    made.dispose()


@pytest.fixture
def slots(path: str) -> Any:
    """The model of ``qbruntime``, which has slots."""
    made = qbruntime.load(path)
    yield made
    made.dispose()


def close_to(got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-6)


def code(problem: Any) -> str:
    name: str = problem.value.code.name
    return name


def test_what_a_language_model_says_of_itself(package: ModuleType, model: Any) -> None:
    assert model.get_model_input_shape() == [(1, -1, 8)]
    assert model.get_model_output_shape() == [(1, -1, 8)]
    (info,) = model.get_input_buffer_info()
    assert info.original_shape() == (1, 4, 8)
    assert (info.max_width, info.max_cache_size) == (40, 40)
    infos = model.get_cache_infos()
    assert [(i.name, i.size, i.num_batches) for i in infos] == [
        ("past_k", SIZE, 3),
        ("past_v", SIZE, 3),
    ]
    assert {i.cache_type for i in infos} == {package.CacheType.Batch}
    assert len({i.layer_hash for i in infos}) == 2
    assert [i.name for i in package.Model(model.get_model_path()).get_cache_infos()] == [
        "past_k",
        "past_v",
    ]


def test_the_calls_of_a_client_that_generates(model: Any) -> None:
    (y,) = model.infer([X[np.newaxis, :, :11]], None, 0)
    assert y.shape == (1, 1, 11, 8)
    close_to(y[0], Y[:, :11])
    for size in (11, 12):
        (y,) = model.infer([X[np.newaxis, :, size : size + 1]], None, size)
        close_to(y[0], Y[:, size : size + 1])
    (y,) = model.infer(X[:, :5])
    close_to(y, Y[:, :5])
    (y,) = model.infer(np.ascontiguousarray(X[:, :5].transpose(2, 0, 1)))  # (channel, 1, tokens)
    assert y.shape == (8, 1, 5)
    close_to(y.transpose(1, 2, 0), Y[:, :5])


def test_the_clients_own_outputs(model: Any) -> None:
    mine = np.empty((1, 6, 8), np.float32)
    assert model.infer(X[:, :6], [mine]) is None
    close_to(mine, Y[:, :6])
    filled: list[Any] = []
    assert model.infer(X[:, 6:7], filled, 6) is None
    close_to(filled[0], Y[:, 6:7])
    with pytest.raises(ValueError, match="shape"):
        model.infer(X[:, :6], [np.empty((1, 5, 8), np.float32)])


def test_futures_go_from_the_first_token_on(model: Any) -> None:
    futures = [model.infer_async(X[:, : n + 1]) for n in range(12)]
    for n in (5, 0, 11, *range(1, 5), *range(6, 11)):
        (y,) = futures[n].get()
        close_to(y, Y[:, : n + 1])


@pytest.mark.parametrize("shape", [(1, 0, 8), (40, 8), (1, 5, 7), (2, 1, 5, 8)])
def test_arrays_that_do_not_fit(package: ModuleType, model: Any, shape: Any) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        model.infer(np.zeros(shape, np.float32))
    with pytest.raises(RuntimeError) as problem:
        model.infer(X[:, :5], None, 36)
    assert code(problem) == "Model_CacheOverflow"


def test_several_sequences_at_one_time(slots: Any) -> None:
    param = qbruntime.BatchParam
    both = np.concatenate([X[:, :7], X[:, :2]], axis=1)
    (y,) = slots.infer([both], None, 0, [param(7, 0, 0), param(2, 0, 1)])
    close_to(y, np.concatenate([Y[:, :7], Y[:, :2]], axis=1))
    (y,) = slots.infer([X[:, [7, 2]]], None, 0, [param(1, 7, 0), param(1, 2, 1)])
    close_to(y, Y[:, [7, 2]])
    with pytest.raises(RuntimeError):
        slots.infer([both], None, 0, [param(9, 0, 3)])


def test_contents_of_all_caches(model: Any) -> None:
    model.infer(X[:, :6])
    kept = model.dump_cache_memory()
    assert [len(one) for one in kept] == [SIZE, SIZE]
    close_to(np.frombuffer(kept[0], np.float32).reshape(40, 8)[:6], X[0, :6] @ WEIGHTS.k)
    model.load_cache_memory([bytes(SIZE)] * 2)
    assert model.dump_cache_memory() == [bytes(SIZE)] * 2
    model.load_cache_memory(kept)
    close_to(model.infer(X[:, 6:8], None, 6)[0], Y[:, 6:8])


def test_contents_of_a_slot(slots: Any) -> None:
    slots.infer([X[:, :6]], None, 0, [qbruntime.BatchParam(6, 0, 2)])
    k, v = slots.get_cache_infos()
    kept = slots.dump_cache_memory(2)
    assert kept[0] == slots.dump_cache_memory_by_name("past_k", 2)
    assert kept[1] == slots.dump_cache_memory_by_layer_hash(v.layer_hash, cache_id=2)
    assert slots.dump_cache_memory(0) == [bytes(SIZE)] * 2
    slots.load_cache_memory_by_name(kept[0], "past_k")
    slots.load_cache_memory_by_layer_hash(kept[1], v.layer_hash)
    close_to(slots.infer(X[:, 6:8], None, 6)[0], Y[:, 6:8])
    slots.reset_fixed_tail_cache_memory(2)  # there is none
    assert slots.dump_cache_memory(2) == kept
    for call in (slots.dump_cache_memory_by_name, slots.dump_cache_memory_by_layer_hash):
        with pytest.raises(qbruntime.QbRuntimeError) as problem:
            call("nothing")
        assert code(problem) == "Model_NoCache"
    for slot in (3, -1):
        with pytest.raises(qbruntime.QbRuntimeError) as problem:
            slots.dump_cache_memory(slot)
        assert code(problem) == "Model_NoCache"
    assert k.name == "past_k"


def test_reset_is_a_blank_cache(path: str) -> None:
    model = maccel.load(path)
    model.infer(X[:, :6])
    model.reset_cache_memory()
    assert model.dump_cache_memory() == [bytes(SIZE)] * 2
    model.dispose()


def test_files(model: Any, tmp_path: Path) -> None:
    model.infer(X[:, :6])
    model.dump_cache_memory_to(str(tmp_path))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == sorted(f"cache_{info.layer_hash}.bin" for info in model.get_cache_infos())
    model.load_cache_memory([bytes(SIZE)] * 2)
    model.load_cache_memory_from(str(tmp_path))
    close_to(model.infer(X[:, 6:8], None, 6)[0], Y[:, 6:8])
    before = model.dump_cache_memory()
    (tmp_path / names[0]).write_bytes(b"short")
    expected = {
        "Model_BufferSizeMismatched": tmp_path,
        "Model_FailedToFindDirectory": tmp_path / "nowhere",
    }
    for name, folder in expected.items():
        with pytest.raises(RuntimeError) as problem:
            model.load_cache_memory_from(str(folder))
        assert code(problem) == name
    (tmp_path / names[1]).unlink()
    with pytest.raises(RuntimeError) as problem:
        model.load_cache_memory_from(str(tmp_path))
    assert code(problem) in ("Model_FailedToOpenCacheFile", "Model_BufferSizeMismatched")
    assert model.dump_cache_memory() == before


@pytest.mark.parametrize(
    ("contents", "error", "name"),
    [
        ([bytes(SIZE)], RuntimeError, "Model_NumCacheMismatched"),
        ([bytes(SIZE), bytes(SIZE - 1)], RuntimeError, "Model_BufferSizeMismatched"),
        ([bytes(SIZE), "text"], TypeError, ""),
        (bytes(SIZE), TypeError, ""),
    ],
)
def test_contents_that_do_not_fit(model: Any, contents: Any, error: Any, name: str) -> None:
    with pytest.raises(error) as problem:
        model.load_cache_memory(contents)
    if name:
        assert code(problem) == name
    assert model.dump_cache_memory() == [bytes(SIZE)] * 2


def letters(model: Any) -> None:
    """Fill the rows with a, b, c ... as numbers."""
    rows = np.repeat(np.arange(40, dtype=np.float32), 8).tobytes()
    model.load_cache_memory([rows, rows])


def read(model: Any, count: int) -> str:
    (first, second) = model.dump_cache_memory()
    assert first == second
    rows = np.frombuffer(first, np.float32).reshape(40, 8)[:count, 5]
    return "".join(chr(ord("a") + int(row)) for row in rows)


def test_the_worked_example_of_the_tail(model: Any) -> None:
    letters(model)
    assert model.filter_cache_tail(10, 4, [True, False, True, False]) == 8
    assert read(model, 8) == "abcdefgi"
    letters(model)
    assert model.move_cache_tail(4, 2, 10) == 6
    assert read(model, 6) == "abcdij"


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        ("filter_cache_tail", (10, 4, [True]), ValueError),
        ("filter_cache_tail", (3, 4, [True] * 4), ValueError),
        ("filter_cache_tail", (40, 33, [True] * 33), ValueError),
        ("filter_cache_tail", (41, 1, [True]), RuntimeError),
        ("filter_cache_tail", ("10", 1, [True]), TypeError),
        ("move_cache_tail", (9, 2, 10), ValueError),
        ("move_cache_tail", (1, 2, 41), RuntimeError),
        ("move_cache_tail", (1.5, 2, 10), TypeError),
    ],
)
def test_tails_that_are_none(model: Any, call: str, arguments: Any, error: Any) -> None:
    letters(model)
    with pytest.raises(error):
        getattr(model, call)(*arguments)
    assert read(model, 20) == "abcdefghijklmnopqrst"


def test_float_inputs_are_no_int8_ones(model: Any) -> None:
    calls = [model.infer_to_float, model.infer_chw_to_float, model.infer_async_to_float]
    calls += [model.infer_hwc_to_float] if hasattr(model, "infer_hwc_to_float") else []
    for call in calls:
        for x in (X[:, :5], X[:, :5].astype(np.int8)):
            with pytest.raises(RuntimeError) as problem:
                call(x)
            assert code(problem) == "Model_DtypeMismatched"


def test_sequences_that_are_none(slots: Any) -> None:
    item = qbruntime.BatchParam
    for params, wanted in (
        ([item(5, 0, 3)], "Model_NoCache"),
        ([item(5, 0, -1)], "Model_NoCache"),
        ([item(5, -1, 0)], "Model_CacheOverflow"),
        ([item(5, 36, 0)], "Model_CacheOverflow"),
        ([item(3, 0, 1), item(2, 0, 1)], "Model_ShapeMismatched"),
        ([item(5, 0, 0), item(0, 0, 1)], "Model_ShapeMismatched"),
        ([item(4, 0, 0)], "Model_ShapeMismatched"),
    ):
        with pytest.raises(qbruntime.QbRuntimeError) as problem:
            slots.infer(X[:, :5], None, 0, params)
        assert code(problem) == wanted, params
    for no_params in (["5"], 5, [None], "5"):
        with pytest.raises(TypeError, match="BatchParam"):
            slots.infer(X[:, :5], None, 0, no_params)
    assert slots.dump_cache_memory(0) == [bytes(SIZE)] * 2


def test_a_size_or_a_batch_that_is_none(model: Any) -> None:
    for x, size, wanted in (
        (X[:, :5], -1, "Model_CacheOverflow"),
        (np.stack([X[:, :5]] * 2), 0, "Model_ShapeMismatched"),
    ):
        with pytest.raises(RuntimeError) as problem:
            model.infer(x, None, size)
        assert code(problem) == wanted


def test_a_model_without_a_cache(image: Any, package: ModuleType) -> None:
    assert image.get_cache_infos() == []
    if package is maccel:
        image.reset_cache_memory()
    for call in (
        image.dump_cache_memory,
        lambda: image.load_cache_memory([]),
        lambda: image.filter_cache_tail(1, 1, [True]),
        lambda: image.move_cache_tail(0, 0, 0),
    ):
        with pytest.raises(RuntimeError) as problem:
            call()
        assert code(problem) == "Model_NoCache"


def test_a_state_that_is_replaced(package: ModuleType, tmp_path: Path) -> None:
    model = package.load(str(kvmodel.running_sum(tmp_path / "sum.mxq")))
    (info,) = model.get_cache_infos()
    wanted = "Default" if package is maccel else "FixedTailCache"
    assert info.cache_type is package.CacheType[wanted]
    rows = X[:, :5].reshape(5, 1, 1, 8)
    outputs = [model.infer(row)[0] for row in rows[:2]]
    outputs += [future.get()[0] for future in [model.infer_async(row) for row in rows[2:]]]
    np.testing.assert_allclose(outputs, 2 * np.cumsum(rows, axis=0), rtol=1e-4, atol=1e-5)
    if package is maccel:
        model.reset_cache_memory()
    else:
        model.reset_fixed_tail_cache_memory()
    np.testing.assert_array_equal(model.infer(rows[0])[0], 2 * rows[0])
    model.dispose()


def test_before_and_after_it_is_launched(package: ModuleType, path: str) -> None:
    model = package.Model(path)
    with pytest.raises(RuntimeError) as problem:
        model.dump_cache_memory()
    assert code(problem) == "Model_NotLaunched"
    model.launch(package.Accelerator())
    assert model.dump_cache_memory() == [bytes(SIZE)] * 2
    model.dispose()
    with pytest.raises(RuntimeError) as problem:
        model.infer(X[:, :5], None, 0)
    assert code(problem) == "Model_NotAlive"
