"""A web service that names what is in a picture; the event loop never waits for the device.

MODEL=efficientnet_lite0.mxq uvicorn --app-dir examples web_handler:app
curl --data-binary @photo.jpg http://127.0.0.1:8000/classify

Requests that come together share a batch; a full queue answers 503, a client that goes away takes
its request along, and at the end what was accepted is finished first.
"""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from PIL import Image, UnidentifiedImageError

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import efficientnet_lite0

DEADLINE_S = 2.0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.labels = await anyio.to_thread.run_sync(zoo.labels)
    async with maccel_aio.load(os.environ["MODEL"]) as model, model.batched() as app.state.model:
        yield


app = FastAPI(lifespan=lifespan)


def read_picture(data: bytes) -> np.ndarray[Any, Any]:
    return efficientnet_lite0.prepare(Image.open(io.BytesIO(data)))


async def infer_for(request: Request, pixels: np.ndarray[Any, Any]) -> list[Any]:
    """Await the outputs; a client that goes away cancels its request."""
    outputs: list[Any] = []
    problem: maccel_aio.MaccelError | None = None
    async with anyio.create_task_group() as tasks:

        async def cancel_when_gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                continue
            tasks.cancel_scope.cancel()

        tasks.start_soon(cancel_when_gone)
        try:
            outputs += await app.state.model.infer(pixels, deadline=DEADLINE_S)
        except (maccel_aio.QueueFullError, maccel_aio.DeadlineError) as error:
            problem = error
        tasks.cancel_scope.cancel()
    if not outputs:
        raise HTTPException(503, str(problem or "gone"), {"Retry-After": "1"}) from problem
    return outputs


@app.post("/classify")
async def classify(request: Request) -> list[dict[str, Any]]:
    try:
        pixels = await anyio.to_thread.run_sync(read_picture, await request.body())
    except UnidentifiedImageError:
        raise HTTPException(415, "the body is not a picture") from None
    (logits,) = await infer_for(request, pixels)
    best = np.argsort(-logits)[:5]
    return [{"label": app.state.labels[k], "logit": round(float(logits[k]), 3)} for k in best]
