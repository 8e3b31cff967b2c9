"""Sweep a parameter with numpy: where does the logistic map x -> r x (1 - x) turn chaotic?

    python3 examples/sweep.py |
        poolmap run --preload numpy --max-tasks-per-child 50 examples/sweep.py:lyapunov -

A positive exponent means chaos. --preload imports numpy once and forks the children from there;
--max-tasks-per-child replaces each child after 50 tasks, so that what a library leaks is given back.
"""

import json

import numpy as np


def lyapunov(r, points, steps):
    """The task: mean Lyapunov exponent over starting points spread between 0 and 1."""
    x = np.linspace(0.01, 0.99, points)
    total = np.zeros(points)
    for _ in range(steps):
        x = r * x * (1 - x)
        slope = np.abs(r * (1 - 2 * x))
        total += np.log(np.maximum(slope, np.finfo(float).tiny))
    return {"r": r, "exponent": float(np.mean(total / steps))}


def main():
    """Prints the tasks: 300 values of r from 2.5 to 4."""
    for r in np.linspace(2.5, 4, 300).round(4).tolist():
        print(json.dumps({"kwargs": {"r": r, "points": 500, "steps": 500}}))


if __name__ == "__main__":
    main()
