"""How the learning rate runs over a training."""

import math


def warmed_cosine(step: int, *, steps: int, warm_up: int, floor: float = 0.0) -> float:
    """Share of the peak learning rate at a step: a linear rise, then half a cosine down to the floor.

    Args:
        step: from 0.
        steps: how many there are in all.
        warm_up: how many of them the rise takes.
        floor: the share that the last step has.

    Source:
        Loshchilov and Hutter, SGDR, arXiv 1608.03983, without restarts.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(steps - warm_up, 1)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
