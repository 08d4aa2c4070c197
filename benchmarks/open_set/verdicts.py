"""What an answer of the int8 model is worth beside the float model's."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from maccel_aio.zoo import centerface

Outputs = Sequence[NDArray[np.float32]]
Figures = dict[str, float]
Verdict = Callable[[list[Outputs], list[Outputs]], Figures]
"""From the float answers and the answers to judge, one per picture, to named figures."""


def decibels(exact: list[Outputs], found: list[Outputs]) -> list[float]:
    """Return signal over noise of every output over all pictures, dB."""
    result = []
    for k in range(len(exact[0])):
        signal = sum(float(np.square(e[k], dtype=np.float64).sum()) for e in exact)
        noise = sum(
            float(np.square(np.float64(e[k]) - f[k].reshape(e[k].shape)).sum())
            for e, f in zip(exact, found, strict=True)
        )
        result.append(10 * float(np.log10(signal / max(noise, 1e-300))))
    return result


def same_class(exact: list[Outputs], found: list[Outputs]) -> Figures:
    """Return for how many pictures the largest output is the same."""
    same = [int(e[0].argmax() == f[0].argmax()) for e, f in zip(exact, found, strict=True)]
    return {"same class": float(sum(same)), "of": float(len(same))}


def faces(exact: list[Outputs], found: list[Outputs]) -> Figures:
    """Return how the boxes of faces agree: a face that is missing counts 0."""
    overlaps = []
    for e, f in zip(exact, found, strict=True):
        others = centerface.decode(list(f))
        for face in centerface.decode(list(e)):
            shared = [centerface.iou(face.box, other.box) for other in others]
            overlaps.append(max(shared, default=0.0))
    if not overlaps:
        return {"faces": 0.0}
    return {
        "IoU mean": float(np.mean(overlaps)),
        "IoU min": float(np.min(overlaps)),
        "faces": float(len(overlaps)),
    }


def overlap(threshold: float) -> Verdict:
    """Return a verdict on the first output as a map: what exceeds `threshold` in both."""

    def judge(exact: list[Outputs], found: list[Outputs]) -> Figures:
        shared = union = 0
        for e, f in zip(exact, found, strict=True):
            one, other = e[0] > threshold, f[0].reshape(e[0].shape) > threshold
            shared += int((one & other).sum())
            union += int((one | other).sum())
        return {"map IoU": shared / max(union, 1)}

    return judge


def reading(output: NDArray[np.float32]) -> tuple[int, ...]:
    """Return the best path through probabilities ``[1, steps, letters]``; letter 0 is no letter."""
    path = output.reshape(output.shape[-2:]).argmax(axis=1)
    changed = np.r_[True, path[1:] != path[:-1]]
    return tuple(int(k) for k in path[changed & (path != 0)])


def same_text(exact: list[Outputs], found: list[Outputs]) -> Figures:
    """Return how many lines are read the same."""
    same = [reading(e[0]) == reading(f[0]) for e, f in zip(exact, found, strict=True)]
    return {"same text": float(sum(same)), "of": float(len(same))}


def keypoints(size: float, each: int, presence: bool) -> Verdict:
    """Return a verdict on points in the first output, in per cent of the picture's size.

    Args:
        size: of the picture, in the units of the points.
        each: numbers per point, of which the first two are x and y.
        presence: whether the second output says that somebody is there; other pictures do not
            count.
    """

    def judge(exact: list[Outputs], found: list[Outputs]) -> Figures:
        distances = []
        for e, f in zip(exact, found, strict=True):
            if presence and float(e[1].ravel()[0]) <= 0.5:
                continue
            one, other = (v[0].reshape(-1, each)[:, :2] for v in (e, f))
            distances.append(np.linalg.norm(one - other, axis=1) / size * 100)
        if not distances:
            return {"pictures": 0.0}
        every = np.concatenate(distances)
        return {
            "mean %": float(every.mean()),
            "max %": float(every.max()),
            "pictures": float(len(distances)),
        }

    return judge
