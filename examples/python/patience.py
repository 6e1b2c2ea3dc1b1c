# SPDX-License-Identifier: MIT
"""Does a client survive a model that is slow and sometimes gone? Faults on an object, and on this process."""

import time

import chaoseater
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(X, y)


def ask(served, attempts=12):
    """A client with some patience."""
    for attempt in range(attempts):
        try:
            return served.predict(X)
        except ConnectionError:
            time.sleep(0.001 * 2**attempt)
    raise TimeoutError(f"no answer in {attempts} attempts")


flaky = chaoseater.wrap_model(model, "model_unavailable", failure_rate=0.5, seed=7)
answers = [ask(flaky) for _ in range(20)]
print(f"{len(answers)} answers from a model that fails half of the time")

with chaoseater.fault("cpu_throttle", throttle_percent=50) as live:
    began = time.perf_counter()
    ask(model)
    print(f"half of a processor: {1000 * (time.perf_counter() - began):.1f} ms; {live.name} was live")
print(live.report["verification"])
