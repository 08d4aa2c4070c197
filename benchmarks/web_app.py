"""The service that benchmarks/web.py measures: one handler, one of several engines behind it.

ENGINE is "plain", "batched", "bounded", "ort" or "direct"; MODEL is its file. The body is a picture
of raw bytes (224, 224, 3); the answer is the best class. "bounded" lets few wait and answers 503 to
the others; "direct" answers without a model: the floor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio.to_thread
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

import maccel_aio

SHAPE = (224, 224, 3)
Answer = Callable[[np.ndarray[Any, Any]], Awaitable[int]]


@contextlib.asynccontextmanager
async def plain(path: str) -> AsyncIterator[Answer]:
    async with maccel_aio.load(path) as model:

        async def answer(pixels: np.ndarray[Any, Any]) -> int:
            return int((await model.infer(pixels))[0].argmax())

        yield answer


@contextlib.asynccontextmanager
async def batched(path: str) -> AsyncIterator[Answer]:
    async with maccel_aio.load(path) as model, model.batched(max_batch=8) as together:

        async def answer(pixels: np.ndarray[Any, Any]) -> int:
            return int((await together.infer(pixels))[0].argmax())

        yield answer


@contextlib.asynccontextmanager
async def bounded(path: str) -> AsyncIterator[Answer]:
    async with (
        maccel_aio.load(path) as model,
        model.batched(max_batch=8, max_queue=16) as together,
    ):

        async def answer(pixels: np.ndarray[Any, Any]) -> int:
            return int((await together.infer(pixels))[0].argmax())

        yield answer


@contextlib.asynccontextmanager
async def ort(path: str) -> AsyncIterator[Answer]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pixels: np.ndarray[Any, Any]) -> int:
        scaled = (pixels.transpose(2, 0, 1)[np.newaxis].astype(np.float32) - 127) / 128
        return int(session.run(None, {name: scaled})[0].argmax())

    async def answer(pixels: np.ndarray[Any, Any]) -> int:
        return await anyio.to_thread.run_sync(run, pixels)

    yield answer


@contextlib.asynccontextmanager
async def direct(path: str) -> AsyncIterator[Answer]:
    del path

    async def answer(pixels: np.ndarray[Any, Any]) -> int:
        return int(pixels[0, 0, 0])

    yield answer


ENGINES = {"plain": plain, "batched": batched, "bounded": bounded, "ort": ort, "direct": direct}


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = ENGINES[os.environ["ENGINE"]]
    async with engine(os.environ["MODEL"]) as app.state.answer:
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(maccel_aio.QueueFullError)
async def busy(request: Request, problem: Exception) -> JSONResponse:
    del request
    return JSONResponse({"detail": str(problem)}, 503, {"Retry-After": "1"})


@app.post("/infer")
async def infer(request: Request) -> dict[str, int]:
    pixels = np.frombuffer(await request.body(), np.uint8).reshape(SHAPE)
    return {"best": await request.app.state.answer(pixels)}
