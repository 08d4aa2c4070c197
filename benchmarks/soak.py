"""Hours of use in random order: does anything get lost, doubled, stuck or leaked?

usage: python benchmarks/soak.py [SECONDS] [--seed 1] [--share 1.0] [--loop asyncio]

Scenes follow each other by the dice of ``--seed``: crowds of calls with random cancellation and
deadlines, devices that fail, hang, lose themselves and double completions, closing midway, opening
again, streams, batches, pools, other event loops, threads, and forks. Each call has one end, each
request one completion, and each result is checked.

Between scenes the process is looked at. After the warm-up, a fifth of the time, resident memory
may grow by 1 MiB in ten minutes at most, and descriptors and threads not at all. ``--share`` rests
after every scene so that the soak takes that part of one CPU. What stands still for two minutes is
a hang: all stacks are printed, and the process ends.
"""

import argparse
import asyncio
import faulthandler
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import uvloop

import maccel_aio
from maccel_aio._core import _graveyard, _guard
from maccel_aio.testing import tiny_model
from soaking import elsewhere, samples, scenes
from soaking.tally import Tally

HANG_S = 120
SAMPLE_S = 1.0
WARM = 0.2

Scene = Callable[[scenes.World], Awaitable[None]]
SCENES: dict[Scene, int] = {
    scenes.calls: 8, scenes.reopen: 4, scenes.close_midway: 4, scenes.faults: 8,
    scenes.streams: 6, scenes.batches: 4, scenes.pools: 2, elsewhere.loops: 2,
    elsewhere.threads: 2, elsewhere.forks: 1,
}  # fmt: skip


async def play(world: scenes.World, seconds: float, share: float) -> list[samples.Sample]:
    """Run scenes for so long; return the samples after the warm-up."""
    names, weights = list(SCENES), list(SCENES.values())
    began, seen, last = time.monotonic(), [], 0.0
    while time.monotonic() - began < seconds:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        scene = world.dice.choices(names, weights)[0]
        cpu = time.process_time()
        await scene(world)
        world.tally.scenes[getattr(scene, "__name__", "?")] += 1
        await anyio.sleep((time.process_time() - cpu) * (1 / share - 1))
        if time.monotonic() - began - last >= SAMPLE_S:
            last = time.monotonic() - began
            seen.append(samples.look(began))
    faulthandler.cancel_dump_traceback_later()
    return [sample for sample in seen if sample.seconds >= seconds * WARM]


async def settle(tally: Tally) -> None:
    """Wait until the devices have let go of everything; note what they have not."""
    with anyio.move_on_after(10):
        while tally.unfinished or _guard.claims() or _graveyard.sweep():  # noqa: ASYNC110 - counters
            await anyio.sleep(0.01)
    tally.expect(not tally.unfinished, f"{tally.unfinished} requests never ended")
    tally.expect(not _guard.claims(), "arrays of callers stayed claimed")
    tally.expect(not _graveyard.sweep(), "something was never freed")


async def soak(arguments: argparse.Namespace, folder: Path, tally: Tally) -> list[samples.Sample]:
    """Run everything in one event loop."""
    path = tiny_model(folder / "tiny.mxq")
    async with maccel_aio.Accelerator("soft:0") as acc:
        model = await acc.load(path, hooks=tally)
        world = scenes.World(path, random.Random(arguments.seed), tally, model)
        seen = await play(world, arguments.seconds, arguments.share)
        tally.expect(acc.stats().overflow == 0, "a completion queue overflowed")
    await settle(tally)
    return seen


def report(tally: Tally, seen: list[samples.Sample]) -> int:
    """Print what happened; return the number of problems."""
    print("scenes:", ", ".join(f"{name} {n}" for name, n in sorted(tally.scenes.items())))
    print(f"calls: {tally.calls}, requests: {tally.submitted}")
    print("ends:", ", ".join(f"{name} {n}" for name, n in sorted(tally.outcomes.items())))
    for name in ("fds", "threads"):
        values = [getattr(sample, name) for sample in seen]
        print(f"{name}: {min(values)} to {max(values)}" if values else f"{name}: not seen")
    if seen:
        first, last = (sample.rss / 2**20 for sample in (seen[0], seen[-1]))
        growth = samples.slope(seen) / 2**20
        print(f"resident: {first:.1f} to {last:.1f} MiB, {growth:+.3f} MiB in ten minutes")
    problems = samples.grown(seen) + [f"{what} ({n} times)" for what, n in tally.problems.items()]
    for problem in problems:
        print("PROBLEM:", problem)
    return len(problems)


def main() -> int:
    """Soak and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of one CPU, 0 to 1")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks in processes with threads
    tally = Tally()
    run = uvloop.run if arguments.loop == "uvloop" else asyncio.run
    with tempfile.TemporaryDirectory() as folder:
        seen = run(soak(arguments, Path(folder), tally))
    return 1 if report(tally, seen) else 0


if __name__ == "__main__":
    sys.exit(main())
