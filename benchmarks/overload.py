"""More load than a service can take: does it answer 503 at once, and does its memory stay flat?

usage: python benchmarks/overload.py network.mxq [--connections 128] [--seconds 10]

The service of ``web_app.py`` lets 16 callers wait; so many clients ask without a pause, and one
request in ten is given up by closing the connection before the answer. Printed are answers a second
by status, their latencies, and the service's resident memory: what it was after the first fifth of
the time, at the end, and at most. Client and server share the machine.
"""

import argparse
import asyncio
import collections
import os
import random
import statistics
import time
from pathlib import Path

import numpy as np

import web
import web_app

PAGE = os.sysconf("SC_PAGE_SIZE")
Found = dict[str, list[float]]


async def ask(port: int, request: bytes, impatient: bool) -> str:
    """Send one request over a connection of its own; return the status, or how it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        if impatient:
            return "given up"
        status = await reader.readline()
        await reader.read()
        return status.split()[1].decode() if status else "closed"
    finally:
        writer.close()


async def client(
    port: int, request: bytes, until: float, dice: random.Random, found: Found
) -> None:
    """Ask again and again."""
    while time.perf_counter() < until:
        began = time.perf_counter()
        status = await ask(port, request, dice.random() < 0.1)
        found[status].append(time.perf_counter() - began)


def resident(pid: int) -> float:
    """Return the resident memory of a process, MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE / 2**20


async def watch(pid: int, until: float, seen: list[float]) -> None:
    """Sample the resident memory of a process, MiB."""
    while time.perf_counter() < until:
        seen.append(resident(pid))
        await asyncio.sleep(0.1)


async def overload(server: web.Server, connections: int, seconds: float) -> None:
    """Measure and print."""
    assert server.process is not None
    body = np.random.default_rng(1).integers(0, 256, web_app.SHAPE, np.uint8).tobytes()
    head = "POST /infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    found: Found = collections.defaultdict(list)
    seen: list[float] = []
    dice, until = random.Random(1), time.perf_counter() + seconds
    clients = (client(server.port, request, until, dice, found) for _ in range(connections))
    await asyncio.gather(watch(server.process.pid, until, seen), *clients)
    for status, times in sorted(found.items()):
        p50, p99 = (float(np.percentile(times, at)) * 1e3 for at in (50, 99))
        print(f"{status:9} {len(times) / seconds:8.1f}/s  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms")
    start, end = seen[len(seen) // 5], statistics.mean(seen[-5:])
    print(f"resident  {start:.1f} MiB, {end:.1f} at the end, {max(seen):.1f} at most")


def main() -> None:
    """Start the service, overload it, end it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mxq", help="a model for uint8 pictures (224, 224, 3)")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    server = web.Server("bounded", "bounded", options.mxq)
    server.start()
    try:
        asyncio.run(overload(server, options.connections, options.seconds))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
