#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults in a DataFrame in memory: DataFaultInjector.apply_fault beside plain pandas and tab_err.

    bench/python.py [BUILD-FOLDER]        ROWS=1000000 COLUMNS=16 ROUNDS=7 by default

Times are medians of calls in one process, in turns, on the same frame. Memory is what one call needs at the most, in frames: that
which comes back is one of them. What a copy of the frame takes is the least that either way can take. The package and its peers are put into an environment of their
own, from PyPI, in the build folder.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS, COLUMNS, ROUNDS = (int(os.environ.get(name, default)) for name, default in (("ROWS", 1_000_000), ("COLUMNS", 16), ("ROUNDS", 7)))
PEERS = ["numpy==2.3.5", "pandas==2.3.3", "tab_err==0.2.1"]
MEASURE = "--measure"


def environment(build):
    """A Python with the peers and the package as `make` built it."""
    folder = build / "bench-python"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS], check=True)
    with tempfile.TemporaryDirectory() as sources:
        package = pathlib.Path(sources) / "python"
        shutil.copytree(ROOT / "python", package)
        for name in ("meson.build", "include"):
            (package.parent / name).symlink_to(ROOT / name)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--force-reinstall", "--no-deps", package],
                       check=True, env={**os.environ, "CHAOSEATER_C_BUILD": str(build)})
    return python


# ---- the plain pandas way, as the documented API has it


def missing(frame, numpy, rate=0.2):
    out = frame.copy()
    for column in out.columns:
        out.loc[numpy.random.random(len(out)) < rate, column] = numpy.nan
    return out


def corrupted(frame, numpy, rate=0.1):
    out = frame.copy()
    for column in out.select_dtypes("number").columns:
        hit = numpy.random.random(len(out)) < rate
        out.loc[hit, column] += numpy.random.normal(0, out[column].std(), hit.sum())
    return out


def outliers(frame, numpy, rate=0.05, magnitude=3.0):
    out = frame.copy()
    for column in out.select_dtypes("number").columns:
        hit = numpy.random.random(len(out)) < rate
        mean, deviation = out[column].mean(), out[column].std()
        out.loc[hit, column] = mean + numpy.random.choice([-1, 1], hit.sum()) * magnitude * deviation
    return out


FAULTS = {"missing_data": (missing, "MissingValue", 0.2), "data_corruption": (corrupted, None, 0.1),
          "outlier_injection": (outliers, "Outlier", 0.05)}


def by_tab_err(kind, rate):
    from tab_err import error_mechanism, error_type
    from tab_err.api import low_level

    def change(frame):
        for column in frame.columns:
            frame, _ = low_level.create_errors(frame, column, rate, error_mechanism.ECAR(), getattr(error_type, kind)())
        return frame

    return change


def contenders_of(fault, numpy, injectors):
    plain, kind, rate = FAULTS[fault]
    injector = injectors(seed=1)
    injector.inject(fault, {}, 3600)
    found = {"chaoseater": injector.apply_fault, "pandas": lambda frame: plain(frame, numpy), "copy": lambda frame: frame.copy()}
    if kind:
        found["tab_err"] = by_tab_err(kind, rate)
    return found


# ---- measuring


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":")) * 1024


def peak_of(function, frame):
    """How much more memory a process that has done nothing else needs at the most for one call."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")  # the high-water mark starts again
        before = memory("VmRSS")
        function(frame)
        os.write(write, str(memory("VmHWM") - before).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        peak = int(told.read())
    os.waitpid(child, 0)
    return peak


def seconds_of(function, frame):
    start = time.perf_counter()
    kept = function(frame)
    seconds = time.perf_counter() - start
    assert len(kept) == len(frame)
    return seconds


def in_turns(functions, frame):
    """Median seconds of each."""
    runs = {name: [] for name in functions}
    for function in functions.values():
        function(frame)
    for _ in range(ROUNDS):
        for name, function in functions.items():
            runs[name].append(seconds_of(function, frame))
    return {name: statistics.median(times) for name, times in runs.items()}


def compare():
    import warnings

    import numpy
    import pandas
    from fault_injectors.data_injector import DataFaultInjector

    warnings.simplefilter("ignore")
    drawn = numpy.random.default_rng(0)
    frame = pandas.DataFrame({f"c{i}": drawn.normal(size=ROWS) for i in range(COLUMNS)})
    size = int(frame.memory_usage(index=False).sum())
    print(f"{ROWS} x {COLUMNS} float64 ({size / 1e6:.0f} MB), pandas {pandas.__version__}, numpy {numpy.__version__}; median of {ROUNDS}")
    print(f"{'':18} {'chaoseater':>20} {'pandas':>20} {'tab_err':>20} {'frame.copy()':>20}")
    contenders = {fault: contenders_of(fault, numpy, DataFaultInjector) for fault in FAULTS}
    peaks = {fault: {name: peak_of(function, frame) for name, function in them.items()} for fault, them in contenders.items()}
    for fault, functions in contenders.items():
        found = in_turns(functions, frame)
        cells = [f"{1000 * found[name]:7.0f} ms {peaks[fault][name] / size:4.2f} frames" if name in found else f"{'-':>20}"
                 for name in ("chaoseater", "pandas", "tab_err", "copy")]
        print(f"{fault:18} {' '.join(cells)}   pandas takes {found['pandas'] / found['chaoseater']:.1f} times as long", flush=True)


def main():
    if sys.argv[1:] == [MEASURE]:
        return compare()
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    try:
        python = environment(build)
    except subprocess.CalledProcessError as error:
        print(f"the package and its peers could not be installed: {error}")
        return None
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([python, __file__, MEASURE], check=True, cwd=tempfile.gettempdir(), env=environ)


if __name__ == "__main__":
    main()
