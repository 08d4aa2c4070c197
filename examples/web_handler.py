"""A web service that names what is in a picture; the event loop never waits for the device.

MODEL=efficientnet_lite0.mxq uvicorn --app-dir examples web_handler:app
curl --data-binary @photo.jpg http://127.0.0.1:8000/classify
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
    async with maccel_aio.load(os.environ["MODEL"]) as model:
        app.state.model = model
        yield


app = FastAPI(lifespan=lifespan)


def read_picture(data: bytes) -> np.ndarray[Any, Any]:
    return efficientnet_lite0.prepare(Image.open(io.BytesIO(data)))


@app.post("/classify")
async def classify(request: Request) -> list[dict[str, Any]]:
    try:
        pixels = await anyio.to_thread.run_sync(read_picture, await request.body())
    except UnidentifiedImageError:
        raise HTTPException(415, "the body is not a picture") from None
    try:
        (logits,) = await app.state.model.infer(pixels, deadline=DEADLINE_S)
    except (maccel_aio.QueueFullError, maccel_aio.DeadlineError) as error:
        raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
    best = np.argsort(-logits)[:5]
    return [{"label": app.state.labels[k], "logit": round(float(logits[k]), 3)} for k in best]
