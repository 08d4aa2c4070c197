"""Which test covers a source file that has no test file of its own name."""

COMPAT_CONFIG = "tests/compat/test_config.py"
COMPAT_ERRORS = "tests/compat/test_errors.py"
COMPAT_FUNCTIONS = "tests/compat/test_functions.py"
COMPAT_VALUES = "tests/compat/test_values.py"
JOBS = "tests/core/test_jobs.py"
LOOPS = "tests/core/test_loops.py"
MODEL = "tests/core/test_model.py"
STREAM = "tests/core/test_stream.py"
SYNC = "tests/test_sync.py"
VERIFY = "tests/native/model/test_verify.c"
SOFT = "tests/native/device/test_soft.c"
RING = "tests/native/device/test_ring.c"

COVERED_BY = {
    "maccel_aio/_core/_blocking_caches.py": "tests/core/test_state.py",
    "maccel_aio/_core/_blocking_parts.py": "tests/core/test_state.py",
    "maccel_aio/_core/_steps.py": "tests/core/test_state.py",
    "maccel_aio/_core/_loop_caches.py": "tests/core/test_state.py",
    "maccel_aio/_core/_batch.py": "tests/core/test_batched.py",
    "maccel_aio/_core/_batch_tally.py": "tests/core/test_batched.py",
    "maccel_aio/_core/_batcher.py": "tests/core/test_batched.py",
    "maccel_aio/_core/_devices.py": "tests/core/test_pooled.py",
    "maccel_aio/_core/_replica.py": "tests/core/test_pooled.py",
    "maccel_aio/compiler/passes/links.py": "tests/compiler/passes/test_fuse.py",
    "maccel_aio/__init__.py": "tests/compiler/test_init__.py",
    "maccel_aio/_core/_accelerator.py": JOBS,
    "maccel_aio/_core/_backends/__init__.py": LOOPS,
    "maccel_aio/_core/_backends/_asyncio.py": LOOPS,
    "maccel_aio/_core/_backends/_trio.py": LOOPS,
    "maccel_aio/_core/_blocking_stream.py": SYNC,
    "maccel_aio/_core/_cpu.py": MODEL,
    "maccel_aio/_core/_entries.py": JOBS,
    "maccel_aio/_core/_graveyard.py": "tests/core/test_guard.py",
    "maccel_aio/_core/_job.py": JOBS,
    "maccel_aio/_core/_manifest.py": "tests/core/test_file.py",
    "maccel_aio/_core/_port.py": JOBS,
    "maccel_aio/_core/_reactor.py": LOOPS,
    "maccel_aio/_core/_resident.py": MODEL,
    "maccel_aio/_core/_source.py": STREAM,
    "maccel_aio/_core/_summary.py": MODEL,
    "maccel_aio/_core/_types.py": "tests/core/test_shapes.py",
    "maccel_aio/compat/_shared/batch_param.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/buffer.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/buffer_info.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/cache_info.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/convert.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/core_id.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/fields.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/raw_enum.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/scale.py": COMPAT_VALUES,
    "maccel_aio/compat/_shared/config.py": COMPAT_CONFIG,
    "maccel_aio/compat/_shared/config_state.py": COMPAT_CONFIG,
    "maccel_aio/compat/_shared/log.py": COMPAT_CONFIG,
    "maccel_aio/compat/_shared/maccel_state.py": COMPAT_CONFIG,
    "maccel_aio/compat/_shared/qbruntime_state.py": COMPAT_CONFIG,
    "maccel_aio/compat/_shared/shapes.py": "tests/compat/test_shapes.py",
    "maccel_aio/compat/_shared/future.py": "tests/compat/test_future.py",
    "maccel_aio/compat/maccel/future.py": "tests/compat/test_future.py",
    "maccel_aio/compat/qbruntime/future.py": "tests/compat/test_future.py",
    "maccel_aio/compat/_shared/errors.py": COMPAT_ERRORS,
    "maccel_aio/compat/_shared/status.py": COMPAT_ERRORS,
    "maccel_aio/compat/_shared/devices.py": COMPAT_FUNCTIONS,
    "maccel_aio/compat/_shared/summary.py": COMPAT_FUNCTIONS,
    "maccel_aio/compat/_shared/tracing.py": COMPAT_FUNCTIONS,
    "maccel_aio/compat/maccel/maccel.py": COMPAT_ERRORS,
    "maccel_aio/compat/maccel/type.py": COMPAT_CONFIG,
    "maccel_aio/compat/qbruntime/qbruntime.py": COMPAT_ERRORS,
    "maccel_aio/compat/qbruntime/type.py": COMPAT_CONFIG,
    "maccel_aio/_native/device/core.c": SOFT,
    "maccel_aio/_native/device/device.c": SOFT,
    "maccel_aio/_native/device/model.c": SOFT,
    "maccel_aio/_native/device/plan.c": SOFT,
    "maccel_aio/_native/device/request.c": RING,
    "maccel_aio/_native/device/submit.c": RING,
    "maccel_aio/_native/model/check.c": VERIFY,
    "maccel_aio/_native/model/image.c": "tests/native/model/test_program.c",
    "maccel_aio/_native/model/io.c": "tests/native/model/test_context.c",
    "maccel_aio/_native/model/profile.c": "tests/native/model/test_program.c",
    "maccel_aio/_native/model/verify_alias.c": VERIFY,
    "maccel_aio/_native/model/verify_conv.c": VERIFY,
    "maccel_aio/_native/model/verify_elementwise.c": VERIFY,
    "maccel_aio/_native/model/verify_image.c": VERIFY,
    "maccel_aio/_native/model/verify_recurrent.c": "tests/native/model/test_verify_operations.c",
    "maccel_aio/_native/model/verify_rows.c": VERIFY,
}
