# SPDX-License-Identifier: MIT
"""clock_skew: whole runs, as root where the tests are root's, and as an ordinary user. The embedded pipeline's gateway
says with each request what time it is, and the naive model server refuses what is not from now.
"""
import re

import pytest

from lab import USERS, Lab, lab_of
from ports import free_port
from test_http_pipeline import experiment, refused, run_one, started, write


@pytest.fixture(params=USERS)
def lab(request):
    with lab_of(request.param) as lab:
        yield lab


def run(lab, profile="naive", code=(0, 1), environment={}, **parameters):
    path = lab.document("clock_skew", parameters=parameters, profile=profile, duration="1s", baseline="1s")
    got, suite = lab.run_json("run", path, **environment)
    assert got in code, suite
    return suite["runs"][0]


def off(run):
    """By how much: (time of day, monotonic) to a process in the same environment, and to the server."""
    found = re.fullmatch(r"to a process in the target's environment the time of day is off by (\S+) s and the monotonic "
                         r"clock by (\S+) s(?:, and to the model server (\S+) s and (\S+) s)?; asked were (\S+) s",
                         run["verification"])
    assert found, run["verification"]
    return [float(text) for text in found.groups() if text]


@pytest.mark.parametrize("offset, seconds", [("-2h", -7200), ("45m", 2700)])
def test_the_time_of_day_is_another_one(lab, offset, seconds):
    done = run(lab, offset=offset)
    assert done["status"] == "completed" and done["verified"], done["verification"]
    assert done["rollback"]["verified"]
    assert off(done) == pytest.approx([seconds, 0, seconds, 0, seconds], abs=10)
    assert done["metrics"]["error_count"] > 0


@pytest.mark.parametrize("clocks, realtime, monotonic", [("monotonic", 0, 3600), ("all", 3600, 3600)])
def test_each_clock_can_be_meant(lab, clocks, realtime, monotonic):
    done = run(lab, clocks=clocks)
    assert done["verified"], done["verification"]
    assert off(done) == pytest.approx([realtime, monotonic, realtime, monotonic, 3600], abs=10)
    # The one that refuses requests goes by the time of day.
    assert (done["metrics"]["error_count"] > 0) == (realtime > 0)


def test_a_drift_grows():
    with Lab() as lab:
        done = run(lab, offset="10s", drift=2)
        assert done["verified"], done["verification"]
        assert off(done)[0] > 10


def test_what_is_less_than_the_server_minds_harms_nobody():
    with Lab() as lab:
        done = run(lab, offset="-5s")
        assert done["verified"] and done["metrics"]["error_count"] == 0


def test_the_hardened_pipeline_serves_all_the_same():
    with Lab() as lab:
        done = run(lab, profile="hardened", offset="-2h")
        assert done["verified"] and done["verdict"] == "passed", done["verification"]
        assert done["metrics"]["error_count"] == 0


def test_no_skew_is_a_control_run():
    with Lab() as lab:
        done = run(lab, offset="0s")
        assert done["control"] and done["metrics"]["error_count"] == 0


def test_what_does_not_act_is_found_out():
    with Lab() as lab:
        done = run(lab, code=(4,), environment={"CHAOSEATER_SEAM_NO_EFFECT": "1"})
        assert done["verified"] is False and done["verdict"] == "invalid"


def test_a_server_of_the_users_is_skewed(chaoseater, tmp_path):
    path = write(tmp_path, started("mlflow", free_port()), experiment("clock_skew", "infrastructure", offset="-2h", clocks="all"))
    done = run_one(chaoseater, path)
    assert done["verified"], done
    assert off(done) == pytest.approx([-7200, -7200, -7200], abs=10)


def test_a_server_that_has_not_loaded_the_library_is_refused(chaoseater, tmp_path):
    keys = started("mlflow", free_port())
    keys["command"] = ["env", "-u", "LD_PRELOAD"] + keys["command"]
    reason = refused(chaoseater, write(tmp_path, keys, experiment("clock_skew", "infrastructure")))
    assert "has not loaded libchaoseater-clock.so: its program is linked statically, or something drops LD_PRELOAD" in reason


@pytest.mark.parametrize("parameters, code, says", [
    ({"offset": "2"}, 2, "offset: '2' needs a unit"),
    ({"offset": "--2h"}, 2, "offset: "),
    ({"offset": "soon"}, 2, "offset: "),
    ({"offset": "-"}, 2, "offset: "),
    ({"drift": -1}, 2, "drift: -1 is outside"),
    ({"clocks": "wall"}, 2, "clocks: 'wall' is not one of realtime, monotonic, all"),
    ({"offset": "-800000h", "clocks": "monotonic"}, 4, "would put the monotonic clocks before the start of this host"),
    ({"target_service": "toaster"}, 4, "toaster"),
])
def test_what_makes_no_sense_is_refused(parameters, code, says):
    with Lab() as lab:
        result = lab.run("run", lab.document("clock_skew", parameters=parameters), "--json")
        assert result.returncode == code and says in result.stdout
        lab.clean_soon()
