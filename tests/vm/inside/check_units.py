# SPDX-License-Identifier: MIT
"""`target: {unit: NAME}` and systemd itself: what crashed is started again by systemd or not at all, and a fault puts nothing
behind in a unit's control group."""
import pytest

from world import SPIN, STAY, Unit, finished, happened, lab, number, ours, processor_share, until

CRASH = {"failure_type": "crash"}


def crash(one, unit, **parameters):
    """A run that crashes the unit, begun."""
    document = one.document("node_failure", target={"unit": unit}, parameters=CRASH | parameters, duration="1s")
    return one.start("run", document, "--json")


@pytest.mark.parametrize("restart", ["always", "on-abort"])
def test_systemd_starts_again_what_crashed_and_we_do_not(restart):
    with Unit("ce-steady.service", Restart=restart, RestartSec="100ms") as unit, lab() as one:
        done = happened(crash(one, "ce-steady"))
        assert done["target"] == "unit ce-steady"
        assert unit.main_pid() not in (0, unit.pid)
        assert (unit.restarts(), unit.ask("ActiveState")) == (1, "active")


@pytest.mark.parametrize("restart", ["no", "on-success"])
def test_what_systemd_would_leave_dead_is_not_killed(restart):
    with Unit("ce-single.service", Restart=restart) as unit, lab() as one:
        done = finished(crash(one, "ce-single.service"))
        assert done["status"] == "failed", done
        assert "unit ce-single.service would stay dead: systemd does not start it again" in done["reason"]
        assert unit.main_pid() == unit.pid


def test_a_command_starts_again_what_systemd_leaves_dead():
    with Unit("ce-single.service", Restart="no") as unit, lab() as one:
        process = crash(one, "ce-single.service", restart="systemctl start ce-single.service")
        until(lambda: unit.ask("ActiveState") == "failed", "the unit lies dead", process)
        done = happened(process)
        assert unit.main_pid() not in (0, unit.pid)
        assert (unit.restarts(), unit.ask("ActiveState")) == (0, "active")


def test_the_control_group_dies_as_one():
    """Also who is no longer below the unit's first process; and systemd does not do it."""
    family = "for child in 1 2 3 4 5 6; do (sleep 1000 &); done; " + STAY
    with Unit("ce-family.service", family, Restart="no", KillMode="none") as unit, lab() as one:
        until(lambda: len(members(unit)) >= 7, "the family is there")
        happened(crash(one, "ce-family.service", restart="none"))
        assert not members(unit)
        assert unit.ask("ActiveState") == "failed"


def members(unit):
    procs = unit.group / "cgroup.procs"
    return procs.read_text().split() if procs.exists() else []


def test_an_instance_of_a_template_is_a_unit_and_a_template_is_none():
    with Unit("ce-pair@one.service"), Unit("ce-pair@two.service"), lab() as one:
        for name in ("ce-pair@one", "ce-pair@two.service"):
            document = one.document("node_failure", target={"unit": name}, parameters={"failure_type": "hang"})
            code, suite = one.run_json("run", document, "--dry-run")
            assert code == 0, suite
        code, suite = one.run_json("run", one.document("node_failure", target={"unit": "ce-pair"}), "--dry-run")
        assert (code, suite["runs"][0]["detail"]) == (4, "no control group belongs to unit 'ce-pair'")


def test_the_unit_that_chaoseater_runs_in_is_denied():
    with lab() as one:
        code, suite = one.run_json("run", one.document("node_failure", target={"unit": "tests.service"}), "--dry-run")
        assert code == 4 and "is denied: ChaosEater itself" in suite["runs"][0]["detail"]


def test_a_unit_hangs_and_goes_on():
    with Unit("ce-busy.service", SPIN) as unit, lab() as one:
        before = unit.limits()
        document = one.document("node_failure", target={"unit": unit.name}, parameters={"failure_type": "hang"}, duration="3s")
        process = one.start("run", document, "--json")
        until(lambda: number(unit.group / "cgroup.events", "frozen") == 1, "the unit is frozen", process)
        until(lambda: processor_share(unit.group, 0.3) < 0.01, "it stands still", process)
        assert unit.ask("ActiveState") == "active"
        done = happened(process)
        assert "frozen by cgroup v2" in done["verification"]
        assert unit.limits() == before and unit.main_pid() == unit.pid
        assert processor_share(unit.group, 0.5) > 0.2


@pytest.mark.parametrize("settings, said", [({}, None), ({"CPUQuota": "70%"}, "70000 100000\n")], ids=["free", "with_a_quota"])
def test_a_unit_is_throttled_below_its_own_quota(settings, said):
    """In a group of ours below the unit's, or by the unit's own quota where it has one."""
    with Unit("ce-busy.service", SPIN, **settings) as unit, lab() as one:
        before = unit.limits()
        assert (before.get("cpu.max"), before["below"]) == (said, [])
        room = 1 if said is None else 0.7
        quota = f"{25000 * room:.0f} 100000"
        document = one.document("cpu_throttle", target={"unit": unit.name}, duration="4s",
                                parameters={"throttle_percent": 75, "cpus": 1, "mechanism": "cgroup_v2"})
        process = one.start("run", document, "--json")
        until(lambda: quota in [unit.limits().get("cpu.max", "").strip(), *ours("cpu.max").values()], "the quota", process)
        most = 0.25 * room + 0.04  # a period more at either end
        assert processor_share(unit.group, 2) < most
        done = finished(process)
        assert done["status"] == "completed" and done["rollback"]["verified"], done
        assert unit.limits() == before and unit.main_pid() == unit.pid
        until(lambda: processor_share(unit.group, 0.5) > most, "it may use more again")


def test_a_second_run_does_not_lower_the_same_quota():
    """Each would take the other's value for the unit's own, and one of them would stay: also when they share no state folder."""
    with Unit("ce-busy.service", SPIN, CPUQuota="70%") as unit, lab() as one, lab() as other:
        before = unit.limits()
        assert (before["cpu.max"], before["below"]) == ("70000 100000\n", [])

        def document(percent, duration, one=one):
            return one.document("cpu_throttle", name=f"{percent}.yaml", target={"unit": unit.name}, duration=duration,
                                parameters={"throttle_percent": percent, "cpus": 1, "mechanism": "cgroup_v2"})

        first = one.start("run", document(40, "8s"), "--json")
        until(lambda: unit.limits()["cpu.max"] == "42000 100000\n", "the first quota", first)
        code, suite = one.run_json("run", document(80, "1s"))
        assert code == 4 and "is under cpu_throttle by another run (cpu_throttle_test, " in str(suite), suite
        code, suite = other.run_json("run", document(80, "1s", other))
        assert code == 4 and "is already limited (cpu) by another run" in str(suite), suite
        assert unit.limits()["cpu.max"] == "42000 100000\n" and first.poll() is None
        done = finished(first)
        assert done["status"] == "completed" and done["rollback"]["verified"], done
        assert unit.limits() == before
        second = one.start("run", document(80, "1s"), "--json")
        until(lambda: unit.limits()["cpu.max"] == "14000 100000\n", "the second quota, of what was there", second)
        assert finished(second)["rollback"]["verified"]
        assert unit.limits() == before and unit.main_pid() == unit.pid
