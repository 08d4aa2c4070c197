"""A FastAPI service under load: plain awaits, ``batched``, and onnxruntime in worker threads.

    python benchmarks/web.py network.mxq network.onnx [more.onnx]

All servers run beside each other, each in a process of its own, and are measured in turn, round by
round, over loopback with persistent connections that each have one request under way. The load is
bounded: so many connections, so many seconds. Figures are requests a second and percentiles of
latency, the median of the rounds with least and most. Client and server share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

import web_app

HERE = Path(__file__).parent
CONNECTIONS = (1, 8, 32)


@dataclasses.dataclass
class Server:
    """One service in a process of its own."""

    name: str
    engine: str
    model: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on a free port and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "web_app:app", "--port",
            str(self.port), "--log-level", "warning", "--no-access-log",
        ]  # fmt: skip
        env = {**os.environ, "ENGINE": self.engine, "MODEL": self.model}
        self.process = subprocess.Popen(command, env=env)
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/docs", timeout=1).read()
                return
            time.sleep(0.1)
        raise SystemExit(f"the server for {self.name} did not start")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


async def client(port: int, body: bytes, until: float, latencies: list[float]) -> None:
    """Send requests over one connection, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        status = await reader.readline()
        if b"200" not in status:
            raise SystemExit(f"the server answered {status.decode()}")
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


async def load(port: int, connections: int, seconds: float) -> tuple[float, float, float]:
    """Return requests a second, and the 50th and 99th percentile of latency in seconds."""
    body = np.random.default_rng(1).integers(0, 256, web_app.SHAPE, np.uint8).tobytes()
    latencies: list[float] = []
    began = time.perf_counter()
    clients = (client(port, body, began + seconds, latencies) for _ in range(connections))
    await asyncio.gather(*clients)
    rate = len(latencies) / (time.perf_counter() - began)
    return rate, *np.percentile(latencies, [50, 99])


def measure(servers: list[Server], rounds: int, seconds: float) -> None:
    for connections in CONNECTIONS:
        found: dict[str, list[tuple[float, float, float]]] = {}
        for number in range(rounds + 1):
            for server in servers:
                result = asyncio.run(load(server.port, connections, seconds if number else 0.3))
                if number:  # the first round warms up
                    found.setdefault(server.name, []).append(result)
        peers = [n.name for n in servers if n.engine == "ort"]
        best = max((statistics.median(r for r, _, _ in found[n]) for n in peers), default=0.0)
        print(f"\n{connections} connections, ratios to the best peer")
        for name, results in found.items():
            rates, p50s, p99s = zip(*results, strict=True)
            rate = statistics.median(rates)
            ratio = f"{rate / best:6.2f}x" if best else ""
            print(
                f"  {name:28} {rate:7.1f}/s [{min(rates):.1f}..{max(rates):.1f}] {ratio}"
                f"  p50 {statistics.median(p50s) * 1e3:6.1f} ms"
                f"  p99 {statistics.median(p99s) * 1e3:6.1f} ms"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mxq", help="the model for this library, inputs uint8 (224, 224, 3)")
    parser.add_argument("onnx", nargs="*", help="the same model for onnxruntime, float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    servers = [
        Server("no model", "direct", ""),
        Server("maccel_aio", "plain", options.mxq),
        Server("maccel_aio batched", "batched", options.mxq),
    ]
    servers += [Server(f"onnxruntime {Path(p).stem}", "ort", p) for p in options.onnx]
    try:
        for server in servers:
            server.start()
        measure(servers, options.rounds, options.seconds)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
