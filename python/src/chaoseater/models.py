# SPDX-License-Identifier: MIT
"""Faults on models that are objects of this process: anything with predict, predict_proba, transform, or that can be called.

    slow = chaoseater.wrap_model(model, "slow_inference", latency_ms=200)
    slow.predict(X)

What a fault does to a prediction is what it does to one on its way from a model server. Choices are a function of the seed and
of how many predictions there were before.
"""

from __future__ import annotations

import copy
import inspect
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import BadInput, Unknown

__all__ = ["FAULTS", "Fault", "Model", "ModelUnavailable", "BatchFailed", "check", "make", "wrap_model"]


class ModelUnavailable(ConnectionError):
    """The model did not answer."""


class BatchFailed(RuntimeError):
    """A batch of predictions has failed as a whole."""


class Fault:
    """What a model suffers. Threads may predict at once."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(random.SystemRandom().getrandbits(64) if seed is None else seed)
        self._lock = threading.Lock()

    def before(self, rows: int) -> None:
        """Before the model is asked for that many predictions. An exception stands in the place of the answer."""

    def model(self, model: Any) -> Any:
        """Who is asked."""
        return model

    def after(self, answer: Any, of_classes: bool) -> Any:
        """What becomes of the answer; `of_classes`: its rows are distributions."""
        return answer

    def end(self) -> None:
        """Gives back what it has taken."""

    def uniform(self) -> float:
        with self._lock:
            return self._random.random()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


class SlowInference(Fault):
    """A call takes latency_ms * (1 + U(-variance, +variance)) longer."""

    def __init__(self, seed: int | None, *, latency_ms: float = 500, variance: float = 0.2) -> None:
        super().__init__(seed)
        self.latency_ms = _number("latency_ms", latency_ms, 0, 600000)
        self.variance = _number("variance", variance, 0, 1)

    def before(self, rows: int) -> None:
        time.sleep(self.latency_ms * (1 + self.variance * (2 * self.uniform() - 1)) / 1000)


class Unavailable(Fault):
    """A share of the calls fails."""

    def __init__(self, seed: int | None, *, failure_rate: float = 1.0) -> None:
        super().__init__(seed)
        self.failure_rate = _number("failure_rate", failure_rate, 0, 1)

    def before(self, rows: int) -> None:
        if self.uniform() < self.failure_rate:
            raise ModelUnavailable("the model is unavailable (chaoseater: model_unavailable)")


class BatchProcessingFailure(Fault):
    """A share of the batches fails; a batch is a call with at least min_rows rows."""

    def __init__(self, seed: int | None, *, failure_rate: float = 0.2, min_rows: int = 1) -> None:
        super().__init__(seed)
        self.failure_rate = _number("failure_rate", failure_rate, 0, 1)
        self.min_rows = int(_number("min_rows", min_rows, 1, 1e9))

    def before(self, rows: int) -> None:
        if rows >= self.min_rows and self.uniform() < self.failure_rate:
            raise BatchFailed(f"the batch of {rows} failed (chaoseater: batch_processing_failure)")


class WrongVersion(Fault):
    """Another model answers."""

    def __init__(self, seed: int | None, *, fallback_model: Any) -> None:
        super().__init__(seed)
        if fallback_model is None or isinstance(fallback_model, str):
            raise BadInput("fallback_model: expected a model, which answers instead; names are for served models")
        self.fallback_model = fallback_model

    def model(self, model: Any) -> Any:
        return self.fallback_model


class MemoryLeak(Fault):
    """This process leaks until the fault is ended, or there are limit_mb."""

    _PIECE = 0.05  # seconds

    def __init__(self, seed: int | None, *, leak_rate_mb: float = 10, limit_mb: float = 1024) -> None:
        super().__init__(seed)
        self.leak_rate_mb = _number("leak_rate_mb", leak_rate_mb, 0, 65536)
        self.limit_mb = _number("limit_mb", limit_mb, 1, 16777216)
        self._leaked: list[bytearray] = []
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._leak, name="chaoseater-memory-leak", daemon=True)
        self._thread.start()

    @property
    def leaked_mb(self) -> float:
        """How much it is now."""
        return sum(map(len, self._leaked)) / 2**20

    def _leak(self) -> None:
        size = 0
        while not self._ended.wait(self._PIECE):
            due = min(self.limit_mb, (time.monotonic() - self._began) * self.leak_rate_mb) * 2**20
            if due - size >= 4096:
                # Not zero, which the kernel would give without giving memory.
                self._leaked.append(bytearray(b"\xa5") * int(due - size))
                size += len(self._leaked[-1])

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._leaked.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a memory leak cannot be pickled or copied: it is this process's")


class PredictionCorruption(Fault):
    """A share of the predictions is falsified: each row of an answer counts."""

    def __init__(self, seed: int | None, *, corruption_rate: float = 0.1, type: str = "random") -> None:
        super().__init__(seed)
        self.corruption_rate = _number("corruption_rate", corruption_rate, 0, 1)
        self.type = _one_of("type", type, ("random", "bias", "flip"))
        self._labels: list[Any] = []

    def after(self, answer: Any, of_classes: bool) -> Any:
        with self._lock:
            return _each_row(answer, of_classes, self._chosen, self._corrupt, self._see)

    def _chosen(self, row: int) -> bool:
        return self._random.random() < self.corruption_rate

    def _see(self, label: Any) -> None:
        if label not in self._labels:
            self._labels.append(label)

    def _corrupt(self, value: Any, kind: str) -> Any:
        if kind == "distribution":
            return self._corrupt_distribution(value)
        if kind == "label":
            return _another_label(self._random, value, self._labels, same_allowed=self.type == "random")
        if self.type == "random":
            return self._random.random()
        return value * 1.5 if self.type == "bias" else 1 - value

    def _corrupt_distribution(self, shares: list[float]) -> list[float]:
        if self.type == "random":
            drawn = [-math.log(1 - self._random.random()) for _ in shares]
            return [share / sum(drawn) for share in drawn]
        if self.type == "bias":
            shares[-1] *= 1.5
            return [share / sum(shares) for share in shares]
        _swap_winner(self._random, shares)
        return shares


class ModelDrift(Fault):
    """Predictions get worse: noise is added to scores, labels become others. Gradual: with each prediction by `growth`, up to
    drift_rate; sudden: by drift_rate at once."""

    def __init__(self, seed: int | None, *, drift_rate: float = 0.1, drift_type: str = "gradual", growth: float = 0.001) -> None:
        super().__init__(seed)
        self.drift_rate = _number("drift_rate", drift_rate, 0, 1)
        self.drift_type = _one_of("drift_type", drift_type, ("gradual", "sudden"))
        self.growth = _number("growth", growth, 0, 1)
        self._labels: list[Any] = []
        self._predictions = 0

    def _see(self, label: Any) -> None:
        if label not in self._labels:
            self._labels.append(label)

    def after(self, answer: Any, of_classes: bool) -> Any:
        with self._lock:
            return _each_row(answer, of_classes, self._count, self._drift, self._see)

    def _count(self, row: int) -> bool:
        self._predictions += 1
        return True

    def _degradation(self) -> float:
        return self.drift_rate if self.drift_type == "sudden" else min(self.drift_rate, self.growth * self._predictions)

    def _drift(self, value: Any, kind: str) -> Any:
        degradation = self._degradation()
        if kind == "label":
            drifts = self._random.random() < degradation
            return _another_label(self._random, value, self._labels, same_allowed=False) if drifts else value
        if kind == "distribution":
            noisy = [max(0.0, share + self._random.gauss(0, degradation)) for share in value]
            total = sum(noisy)
            return [share / total for share in noisy] if total > 0 else value
        return value + self._random.gauss(0, degradation) * max(1.0, abs(value))


class ParameterDegradation(Fault):
    """A copy of the model whose parameters have noise answers: N(0, degradation_factor * sd of the parameter's values)."""

    def __init__(self, seed: int | None, *, degradation_factor: float = 0.1) -> None:
        super().__init__(seed)
        self.degradation_factor = _number("degradation_factor", degradation_factor, 0, 1e6)
        self._degraded: tuple[Any, Any] | None = None

    def model(self, model: Any) -> Any:
        with self._lock:
            if self._degraded is None or self._degraded[0] is not model:
                worse = copy.deepcopy(model)
                if not _degrade(worse, self._random, self.degradation_factor):
                    raise BadInput(f"parameter_degradation: no parameters of numbers are known in a {type(model).__name__}")
                self._degraded = model, worse
            return self._degraded[1]


FAULTS: Mapping[str, type[Fault]] = {
    "slow_inference": SlowInference,
    "prediction_corruption": PredictionCorruption,
    "model_unavailable": Unavailable,
    "model_drift": ModelDrift,
    "wrong_version": WrongVersion,
    "memory_leak": MemoryLeak,
    "batch_processing_failure": BatchProcessingFailure,
    "parameter_degradation": ParameterDegradation,
}


def check(name: str, parameters: Mapping[str, Any]) -> None:
    """Raises what is wrong with a fault's name or parameters."""
    kind = FAULTS.get(name)
    if kind is None:
        raise Unknown(f"no fault on model objects is called '{name}'{_nearest(name, FAULTS)}")
    known = [parameter for parameter in inspect.signature(kind).parameters if parameter != "seed"]
    for parameter in parameters:
        if parameter not in known:
            raise TypeError(f"{name} has no parameter '{parameter}' on model objects{_nearest(parameter, known)}")


def make(name: str, seed: int | None = None, **parameters: Any) -> Fault:
    """That fault, armed."""
    check(name, parameters)
    return FAULTS[name](seed, **parameters)


# ---- the model


class Model:
    """Behaves like the model in it, whose other attributes it has, and suffers a fault.

    It can be pickled and copied when the model can; the copy suffers a fault of its own, with what it has left of the random
    numbers. ``sklearn.base.clone`` gives a clone of the model, unfitted, under the same fault.
    """

    def __init__(self, model: Any, armed: Callable[[], Fault | None]) -> None:
        self.__dict__.update(_model=model, _armed=armed)

    def predict(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask("predict", X, args, kwargs)

    def predict_proba(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask("predict_proba", X, args, kwargs)

    def transform(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask("transform", X, args, kwargs)

    def __call__(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask("__call__", X, args, kwargs)

    def _ask(self, method: str, X: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fault = self._armed()
        if fault is None:
            return getattr(self._model, method)(X, *args, **kwargs)
        fault.before(_rows(X))
        answer = getattr(fault.model(self._model), method)(X, *args, **kwargs)
        return fault.after(answer, method == "predict_proba")

    # ---- what it is taken for

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)

    def __getattribute__(self, name: str) -> Any:
        # A model without one of them must not seem to have it: scikit-learn asks.
        if name in ("fit", "predict", "predict_proba", "transform") and not hasattr(self._model, name):
            raise AttributeError(f"'{type(self._model).__name__}' object has no attribute '{name}'")
        return object.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._model)})

    def __repr__(self) -> str:
        fault = self._armed()
        return f"<{type(fault).__name__ if fault else 'no fault'} on {self._model!r}>"

    def __sklearn_clone__(self) -> Model:
        from sklearn.base import clone

        return Model(clone(self._model), self._armed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._model, self._armed())

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own; what it returns, the model as a rule, is under the fault as well."""
        fitted = self._model.fit(*args, **kwargs)
        return self if fitted is self._model else fitted


def wrap_model(model: Any, fault: str, *, seed: int | None = None, **parameters: Any) -> Model:
    """That model under a fault: slow_inference, prediction_corruption, model_unavailable, model_drift, wrong_version,
    memory_leak, batch_processing_failure or parameter_degradation. `chaos_end()` of the result ends it."""
    armed = make(fault, seed, **parameters)
    return _Wrapped(model, armed)


class _Wrapped(Model):
    """A model with a fault of its own."""

    def __init__(self, model: Any, armed: Fault) -> None:
        super().__init__(model, lambda: self.__dict__["_own"])
        self.__dict__["_own"] = armed

    def chaos_end(self) -> None:
        """Ends the fault: from now on the model answers as ever."""
        armed, self.__dict__["_own"] = self.__dict__["_own"], None
        if armed is not None:
            armed.end()


def _rebuild(model: Any, armed: Fault | None) -> Model:
    return Model(model, lambda: None) if armed is None else _Wrapped(model, armed)


# ---- answers


def _rows(X: Any) -> int:
    try:
        return len(X)
    except TypeError:
        return 1


def _each_row(answer: Any, of_classes: bool, chosen: Callable[[int], bool], change: Callable[[Any, str], Any],
              see: Callable[[Any], None]) -> Any:
    """A copy of an answer, of the same type, with the chosen rows changed. The answer itself belongs to the model."""
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return change(answer, "score") if chosen(0) else answer
    if isinstance(answer, (str, bool)):
        see(answer)
        return change(answer, "label") if chosen(0) else answer
    if isinstance(answer, Mapping) or not hasattr(answer, "__len__"):
        return answer  # no predictions that anybody would know
    rows = answer.tolist() if hasattr(answer, "tolist") else list(answer)
    changed = [_change_row(row, of_classes, chosen(i), change, see) for i, row in enumerate(rows)]
    return _like(answer, changed)


def _change_row(row: Any, of_classes: bool, chosen: bool, change: Callable[[Any, str], Any], see: Callable[[Any], None]) -> Any:
    if isinstance(row, Sequence) and not isinstance(row, (str, bytes)):
        if not chosen:
            return row
        return change(list(row), "distribution") if of_classes else [change(value, "score") for value in row]
    kind = "score" if isinstance(row, float) else "label"
    if kind == "label":
        see(row)
    return change(row, kind) if chosen else row


def _like(answer: Any, rows: list[Any]) -> Any:
    if type(answer).__module__.partition(".")[0] == "numpy":
        import numpy

        # A text that is longer than those before must not be cut.
        return numpy.asarray(rows, dtype=None if answer.dtype.kind in "US" else answer.dtype).reshape(answer.shape)
    if hasattr(answer, "iloc"):
        changed = answer.copy()
        changed.iloc[:] = rows
        return changed
    return type(answer)(rows)


def _another_label(drawn: random.Random, label: Any, labels: Sequence[Any], *, same_allowed: bool) -> Any:
    known = list(labels) if len(labels) > 1 else [0, 1] if label in (0, 1) else list(labels)
    others = known if same_allowed else [other for other in known if other != label]
    if not others:
        return label
    other = others[int(drawn.random() * len(others))]
    return type(label)(other) if isinstance(label, (bool, int)) else other


def _swap_winner(drawn: random.Random, shares: list[float]) -> None:
    winner = max(range(len(shares)), key=shares.__getitem__)
    others = [i for i in range(len(shares)) if i != winner]
    if others:
        other = others[int(drawn.random() * len(others))]
        shares[winner], shares[other] = shares[other], shares[winner]


# ---- parameters of models


def _degrade(model: Any, drawn: random.Random, factor: float) -> bool:
    """Adds noise to every fitted parameter that is found; whether there was any."""
    import numpy

    noise = numpy.random.default_rng(drawn.getrandbits(64))
    arrays = list(_arrays_of(model))
    for array in arrays:
        spread = float(numpy.std(array)) or float(numpy.mean(numpy.abs(array)))
        array += noise.normal(0, factor * spread, array.shape).astype(array.dtype)
    return bool(arrays)


def _arrays_of(model: Any) -> Any:
    """The arrays of numbers that a fitted model decides by, which may be changed in place."""
    if hasattr(model, "state_dict"):  # of PyTorch; shares its memory
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                yield tensor.detach().cpu().numpy()
        return
    for step in getattr(model, "steps", ()):
        yield from _arrays_of(step[1])
    estimators = getattr(model, "estimators_", ())
    for estimator in getattr(estimators, "flat", estimators):
        yield from _arrays_of(estimator)
    if hasattr(model, "tree_"):
        yield model.tree_.value
    for name in ("coef_", "intercept_", "coefs_", "intercepts_", "cluster_centers_", "theta_", "components_", "dual_coef_"):
        found: Any = vars(model).get(name) if hasattr(model, "__dict__") else None
        for array in found if isinstance(found, list) else [found]:
            if getattr(array, "dtype", None) is not None and array.dtype.kind == "f" and array.ndim > 0:
                array.setflags(write=True)
                yield array


# ---- arguments


def _number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: expected a number, got {value!r}") from None
    if not low <= number <= high:
        raise BadInput(f"{name}: {value!r} is outside {low:g}..{high:g}")
    return number


def _one_of(name: str, value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise BadInput(f"{name}: {value!r} is none of {', '.join(known)}{_nearest(str(value), known)}")
    return str(value)


def _nearest(name: str, known: Any) -> str:
    import difflib

    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean '{found[0]}'?" if found else f" (there are: {', '.join(known)})"
