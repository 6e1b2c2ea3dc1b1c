# SPDX-License-Identifier: MIT
"""Faults on models that are objects."""

import http.server
import json
import pickle
import threading
import time
import urllib.request

import chaoseater
import numpy as np
import pandas as pd
import pytest
from chaoseater.models import BatchFailed, ModelUnavailable
from fault_injectors.model_injector import ModelFaultInjector
from scipy import stats
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def model():
    return LogisticRegression(max_iter=1000).fit(X, y)


class Constant:
    """A model of our own, which says 1 for each row."""

    def __init__(self, value=1.0):
        self.value = value
        self.asked = 0

    def predict(self, rows):
        self.asked += len(rows)
        return np.full(len(rows), self.value)

    def __call__(self, rows):
        return [self.value for _ in rows]


def sigmas(count, of, rate):
    return abs(count - of * rate) / np.sqrt(of * rate * (1 - rate))


def test_a_slow_model_is_slow_by_as_much_as_asked(monkeypatch):
    slept = []
    monkeypatch.setattr("chaoseater.models.time.sleep", slept.append)
    slow = chaoseater.wrap_model(Constant(), "slow_inference", seed=1, latency_ms=100, variance=0.2)
    for _ in range(2000):
        slow.predict([1])
    assert stats.kstest(slept, "uniform", args=(0.08, 0.04)).pvalue > 1e-9


def test_a_slow_model_really_takes_longer():
    began = time.perf_counter()
    chaoseater.wrap_model(Constant(), "slow_inference", latency_ms=50, variance=0).predict([1])
    assert time.perf_counter() - began >= 0.05


def test_unavailable():
    gone = chaoseater.wrap_model(Constant(), "model_unavailable")
    with pytest.raises(ConnectionError, match="model_unavailable"):
        gone.predict([1])
    assert gone.asked == 0
    often = chaoseater.wrap_model(Constant(), "model_unavailable", failure_rate=0.3, seed=1)
    failed = 0
    for _ in range(5000):
        try:
            often.predict([1])
        except ModelUnavailable:
            failed += 1
    assert sigmas(failed, 5000, 0.3) < 6 and often.asked == 5000 - failed


def test_batches_fail_as_a_whole():
    model = Constant()
    wrapped = chaoseater.wrap_model(model, "batch_processing_failure", seed=1)
    failed = 0
    for _ in range(2000):
        try:
            assert len(wrapped.predict([1, 2, 3])) == 3
        except BatchFailed as error:
            assert "batch of 3" in str(error)
            failed += 1
    assert sigmas(failed, 2000, 0.2) < 6
    only_large = chaoseater.wrap_model(model, "batch_processing_failure", failure_rate=1, min_rows=10)
    only_large.predict([1])
    with pytest.raises(BatchFailed):
        only_large.predict([1] * 10)


@pytest.mark.parametrize("kind, check", [
    ("bias", lambda hit: np.all(hit == 1.5 * 0.4)), ("flip", lambda hit: np.allclose(hit, 0.6)),
    ("random", lambda hit: stats.kstest(hit, "uniform").pvalue > 1e-9)])
def test_scores_are_falsified(kind, check):
    wrapped = chaoseater.wrap_model(Constant(0.4), "prediction_corruption", type=kind, corruption_rate=0.2, seed=1)
    answer = wrapped.predict(range(20000))
    hit = answer[answer != 0.4]
    assert sigmas(len(hit), 20000, 0.2) < 6 and check(hit)


@pytest.mark.parametrize("kind", ["random", "flip", "bias"])
def test_labels_stay_labels(kind, model):
    wrapped = chaoseater.wrap_model(model, "prediction_corruption", type=kind, corruption_rate=0.5, seed=1)
    answer, right = wrapped.predict(np.tile(X, (20, 1))), np.tile(model.predict(X), 20)
    assert answer.dtype == right.dtype and set(answer) == {0, 1, 2}
    share = 0.5 * (2 / 3 if kind == "random" else 1)  # a random label may be the right one
    assert sigmas((answer != right).sum(), len(right), share) < 6


def test_distributions_stay_distributions(model):
    right = model.predict_proba(X)
    for kind in ("random", "flip", "bias"):
        answer = chaoseater.wrap_model(model, "prediction_corruption", type=kind, corruption_rate=1, seed=1).predict_proba(X)
        assert np.allclose(answer.sum(axis=1), 1) and (answer >= 0).all() and not np.allclose(answer, right)
    flipped = chaoseater.wrap_model(model, "prediction_corruption", type="flip", corruption_rate=1, seed=1).predict_proba(X)
    assert (flipped.argmax(axis=1) != right.argmax(axis=1)).all()


def test_texts_series_and_lists():
    class Named:
        def predict(self, rows):
            return np.array(["no", "maybe"])[np.arange(len(rows)) % 2]

        def __call__(self, rows):
            return pd.Series([0.5] * len(rows), index=range(10, 10 + len(rows)))

    wrapped = chaoseater.wrap_model(Named(), "prediction_corruption", corruption_rate=1, type="flip", seed=1)
    assert wrapped.predict(range(100)).tolist()[2:] == ["maybe", "no"] * 49
    assert wrapped(range(3)).index.tolist() == [10, 11, 12]
    assert chaoseater.wrap_model(lambda rows: [0.25] * len(rows), "prediction_corruption", corruption_rate=1, type="flip")([1, 2]) == [0.75, 0.75]
    assert chaoseater.wrap_model(lambda x: x, "prediction_corruption", corruption_rate=1, type="flip")(0.25) == 0.75


class Served(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self):
        type(self).asked += 1
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([0.25] * len(rows)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_a_client_of_a_server_is_a_model_too():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/predict"

        def ask(rows):
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(rows).encode()), timeout=60) as answer:
                return json.load(answer)

        assert chaoseater.wrap_model(ask, "prediction_corruption", corruption_rate=1, type="flip")([1, 2]) == [0.75, 0.75]
        assert Served.asked == 1
        with pytest.raises(ModelUnavailable):
            chaoseater.wrap_model(ask, "model_unavailable")([1, 2])
        assert Served.asked == 1  # nobody got through
        server.shutdown()


def test_the_answer_of_the_model_is_its_own():
    class Cached:
        answer = np.full(10, 0.5)

        def predict(self, rows):
            return self.answer

    chaoseater.wrap_model(Cached(), "prediction_corruption", corruption_rate=1, seed=1).predict(range(10))
    assert (Cached.answer == 0.5).all()


def test_drift_grows_or_is_sudden():
    gradual = chaoseater.wrap_model(Constant(0.0), "model_drift", drift_rate=0.5, growth=0.0001, seed=1).predict(range(20000))
    for at in (1000, 4000, 15000):
        expected = min(0.5, 0.0001 * at)
        assert abs(gradual[at - 500:at + 500].std() / expected - 1) < 0.15
    sudden = chaoseater.wrap_model(Constant(0.0), "model_drift", drift_rate=0.5, drift_type="sudden", seed=1).predict(range(20000))
    assert stats.kstest(sudden / 0.5, "norm").pvalue > 1e-9


def test_another_version_answers(model):
    other = Constant(7.0)
    assert set(chaoseater.wrap_model(model, "wrong_version", fallback_model=other).predict(X)) == {7.0}
    with pytest.raises(chaoseater.BadInput, match="fallback_model"):
        chaoseater.wrap_model(model, "wrong_version", fallback_model="v2")


def test_a_leak_grows_and_is_given_back():
    leaking = chaoseater.wrap_model(Constant(), "memory_leak", leak_rate_mb=400, limit_mb=60)
    before, deadline = size(), time.monotonic() + 60
    while size() - before < 50 << 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leaking.chaos_end()
    assert size() - before < 20 << 20 and leaking.predict([1]) == [1]


def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("made", [
    lambda: LogisticRegression(max_iter=1000), lambda: RandomForestClassifier(20, random_state=1),
    lambda: make_pipeline(StandardScaler(), LogisticRegression()), lambda: MLPClassifier(max_iter=500, random_state=1), LinearRegression],
    ids=["linear", "forest", "pipeline", "network", "regression"])
def test_degraded_parameters_make_a_worse_model_of_a_copy(made):
    fitted = made().fit(X, y)
    right = fitted.predict(X)
    worse = chaoseater.wrap_model(fitted, "parameter_degradation", degradation_factor=5, seed=1)
    first = worse.predict(X)
    assert not np.array_equal(first, right) and np.array_equal(fitted.predict(X), right)
    assert np.array_equal(first, worse.predict(X))
    little = chaoseater.wrap_model(fitted, "parameter_degradation", degradation_factor=1e-9, seed=1).predict(X)
    assert np.allclose(little, right)
    with pytest.raises(chaoseater.BadInput, match="Constant"):
        chaoseater.wrap_model(Constant(), "parameter_degradation").predict([1])


# ---- what it is taken for


def test_attributes_pass_through(model):
    wrapped = chaoseater.wrap_model(model, "model_unavailable")
    assert wrapped.coef_ is model.coef_ and wrapped.get_params() == model.get_params() and wrapped.score
    assert not hasattr(wrapped, "transform") and not hasattr(wrapped, "nothing")
    wrapped.note = "mine"
    assert model.note == "mine" and "coef_" in dir(wrapped) and "LogisticRegression" in repr(wrapped)
    scaler = chaoseater.wrap_model(StandardScaler().fit(X), "prediction_corruption", corruption_rate=1, seed=1)
    assert not hasattr(scaler, "predict") and scaler.transform(X).shape == X.shape
    assert not np.allclose(scaler.transform(X), StandardScaler().fit(X).transform(X))
    assert chaoseater.wrap_model(KMeans(3, n_init=1), "slow_inference", latency_ms=0).fit(X).predict(X).shape == (150,)


def test_it_can_be_pickled_and_cloned(model):
    wrapped = chaoseater.wrap_model(model, "prediction_corruption", corruption_rate=0.5, seed=1)
    again = pickle.loads(pickle.dumps(wrapped))
    assert np.array_equal(again.predict(X), wrapped.predict(X))
    unfitted = clone(wrapped)
    assert type(unfitted) is not type(model) and not hasattr(unfitted, "coef_")
    assert unfitted.fit(X, y).predict(X).shape == y.shape
    leaking = chaoseater.wrap_model(Constant(), "memory_leak")
    with pytest.raises(TypeError, match="memory leak"):
        pickle.dumps(leaking)
    leaking.chaos_end()


def test_the_same_seed_makes_the_same_choices(model):
    answers = [chaoseater.wrap_model(model, "prediction_corruption", seed=seed, corruption_rate=0.5).predict(X).tolist() for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_the_injector_arms_and_disarms(model):
    injector = ModelFaultInjector(seed=1)
    wrapped = injector.wrap_model(model)
    right = model.predict(X)
    assert np.array_equal(wrapped.predict(X), right)
    injector.inject("model_unavailable", {"failure_rate": 1.0}, 60)
    with pytest.raises(ConnectionError):
        wrapped.predict(X)
    injector.inject("prediction_corruption", {"corruption_rate": 0.5, "type": "flip"}, 60)
    assert not np.array_equal(wrapped.predict(X), right)
    injector.rollback()
    assert np.array_equal(wrapped.predict(X), right)
    assert {"model_drift", "wrong_version", "slow_inference", "memory_leak", "prediction_corruption", "model_unavailable",
            "parameter_degradation", "batch_processing_failure"} <= set(injector.get_supported_faults())
    assert injector.validate("parameter_degradation", {"degradation_factor": 0.2})
    assert not injector.validate("parameter_degradation", {"factor": 1}) and not injector.validate("missing_data", {})


@pytest.mark.parametrize("fault, parameters, kind, sentence", [
    ("slow_inferences", {}, chaoseater.Unknown, "did you mean 'slow_inference'"),
    ("slow_inference", {"latency": 1}, TypeError, "did you mean 'latency_ms'"),
    ("slow_inference", {"latency_ms": -1}, chaoseater.BadInput, "outside"),
    ("slow_inference", {"latency_ms": "long"}, chaoseater.BadInput, "expected a number"),
    ("model_unavailable", {"failure_rate": float("nan")}, chaoseater.BadInput, "outside 0..1"),
    ("prediction_corruption", {"type": "flop"}, chaoseater.BadInput, "did you mean 'flip'"),
    ("wrong_version", {}, TypeError, "fallback_model"),
])
def test_what_is_wrong_is_said(fault, parameters, kind, sentence):
    with pytest.raises(kind, match=sentence):
        chaoseater.wrap_model(Constant(), fault, **parameters)
