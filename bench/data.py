#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults in a table: ChaosEater beside pandas, and cp where nothing is armed.

    bench/data.py [BUILD-FOLDER] [--sweep]        SIZE=500000000 ROUNDS=3 by default

PEERS names another Python in which the peers (pandas, tab_err) are installed.

Every command runs as a process of its own; CPU seconds (user + system) and the high-water mark of its memory are the
kernel's. `--sweep` measures cost against rate and against size, and draws docs/data-cost.svg.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SIZE = int(os.environ.get("SIZE", 500_000_000))
ROUNDS = int(os.environ.get("ROUNDS", 3))
NUMBERS = ",".join([f"f{i}" for i in range(1, 11)] + ["age", "visits", "score"])

PANDAS = """
import sys, numpy, pandas
rng = numpy.random.default_rng(42)
table = pandas.read_csv(sys.argv[1])
numbers = table.select_dtypes('number').columns
for name in numbers:
    hit = rng.random(len(table)) < 0.1
    table.loc[hit, name] = table.loc[hit, name] + rng.normal(0, table[name].std(), hit.sum())
    hit = rng.random(len(table)) < 0.01
    sign = rng.choice([-1, 1], hit.sum())
    table.loc[hit, name] = table[name].mean() + sign * 3 * table[name].std()
for name in table.columns:
    table.loc[rng.random(len(table)) < 0.1, name] = None
table = pandas.concat([table, table.sample(frac=0.05, random_state=42)])
table.to_csv(sys.argv[2], index=False)
"""


TAB_ERR = """
import sys, pandas
from tab_err.api import low_level
from tab_err import error_mechanism as mechanisms, error_type as types
table = pandas.read_csv(sys.argv[1])
for name in table.select_dtypes('number').columns:
    table, _ = low_level.create_errors(table, name, 0.01, mechanisms.ECAR(), types.Outlier())
for name in table.columns:
    table, _ = low_level.create_errors(table, name, 0.1, mechanisms.ECAR(), types.MissingValue())
table.to_csv(sys.argv[2], index=False)
"""


def measure(command, stdin=None):
    """Wall seconds, CPU seconds, peak MiB of a command, and which of the CPU seconds were not the kernel's."""
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stdin=stdin)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed with {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, usage.ru_utime


def best(command, rounds=ROUNDS):
    runs = [measure(command) for _ in range(rounds)]
    return min(r[0] for r in runs), min(r[1] for r in runs), max(r[2] for r in runs), min(r[3] for r in runs)


def show(name, result, size):
    wall, cpu, memory, _ = result
    print(f"{name:44} {wall:8.2f} s wall {cpu:8.2f} CPU-s {memory:8.0f} MiB {size / 1e6 / max(cpu, 1e-9):8.0f} MB/CPU-s")


def job(program, table, folder, scale=1.0, threads=1, key=True):
    command = [program, "data", "inject", table, "-o", folder / "out.csv", "--seed", 42, "--threads", threads]
    if key:
        command += ["--key", folder / "key"]
    for fault, param in (("missing_data", f"missing_rate={0.1 * scale}"),
                         ("data_corruption", f"corruption_rate={0.1 * scale}"),
                         ("outlier_injection", f"outlier_rate={0.01 * scale}"),
                         ("duplicate_records", f"duplication_rate={0.05 * scale}")):
        command += ["--fault", fault, "--param", param]
    return command


def generate(generator, path, size):
    with open(path, "wb") as out:
        subprocess.run([generator, str(size), "42"], stdout=out, check=True)


def compare(program, generator, folder):
    table = folder / "table.csv"
    generate(generator, table, SIZE)
    print(f"{SIZE / 1e6:.0f} MB of CSV, 16 columns; missing 10 % + noise 10 % + outliers 1 % + duplicates 5 %; best of {ROUNDS}")
    ours = best(job(program, table, folder))
    show("chaoseater, answer key written, 1 thread", ours, SIZE)
    show("chaoseater, answer key written, 2 threads", best(job(program, table, folder, threads=2)), SIZE)
    show("chaoseater, rates / 100, 1 thread", best(job(program, table, folder, scale=0.01)), SIZE)
    measure(job(program, table, folder))  # the rates / 100 have written over the key
    show("chaoseater, revert by the key", best([program, "data", "revert", folder / "out.csv", folder / "key", "-o",
                                                 folder / "back.csv"]), SIZE)
    same = subprocess.run(["cmp", table, folder / "back.csv"]).returncode == 0
    print(f"{'':44} reverted file is identical: {same}")
    show("chaoseater, no fault", best([program, "data", "inject", table, "-o", folder / "out.csv"]), SIZE)
    show("cp", best(["cp", table, folder / "copy.csv"]), SIZE)
    peer = run_peer("pandas", PANDAS, table, folder, "pandas, no key, once")
    if peer:
        print(f"{'':44} chaoseater takes 1/{peer[1] / ours[1]:.0f} of its CPU time and 1/{peer[2] / ours[2]:.0f} of its memory")
    run_peer("tab_err", TAB_ERR, table, folder, "tab_err, outliers and missing alone, once")


def run_peer(package, code, table, folder, title):
    """Runs a peer once, if the Python of $PEERS (default: this one) has it."""
    python = os.environ.get("PEERS", sys.executable)
    if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode != 0:
        print(f"{package}: not installed for {python}")
        return None
    script = folder / "peer.py"
    script.write_text(code)
    result = best([python, "-W", "ignore", script, table, folder / "peer.csv"], 1)
    show(title, result, SIZE)
    return result


def sweep(program, generator, folder, root):
    rates, sizes = [0.001, 0.01, 0.1], [50_000_000, 100_000_000, 200_000_000, 500_000_000, 1_000_000_000, 2_000_000_000]
    table = folder / "table.csv"
    generate(generator, table, 200_000_000)
    by_rate = [(rate, *best(one_fault(program, table, folder, rate))) for rate in rates]
    by_size = []
    for size in sizes:
        generate(generator, table, size)
        by_size.append((size, *best(one_fault(program, table, folder, 0.01), 1)))
    print("| rate (noise, 13 columns, 200 MB) | user s | CPU-s | MiB |\n|---|---|---|---|")
    for rate, _, cpu, memory, user in by_rate:
        print(f"| {rate:.1%} | {user:.2f} | {cpu:.2f} | {memory:.0f} |")
    print("\n| size (noise 1 %) | user s | CPU-s | MiB |\n|---|---|---|---|")
    for size, _, cpu, memory, user in by_size:
        print(f"| {size / 1e6:.0f} MB | {user:.2f} | {cpu:.2f} | {memory:.0f} |")
    (root / "docs" / "data-cost.svg").write_text(plot(by_rate, by_size))


def one_fault(program, table, folder, rate):
    return [program, "data", "inject", table, "-o", folder / "out.csv", "--key", folder / "key", "--seed", 42,
            "--threads", 1, "--fault", "data_corruption", "--param", f"corruption_rate={rate}", "--columns", NUMBERS]


def plot(by_rate, by_size):
    """Two bar charts side by side, seconds of user time upwards: the kernel's depend on its page cache."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="760" height="300" font-family="sans-serif" font-size="12">']
    groups = [(0, "by rate (200 MB)", [(f"{r:.1%}", user) for r, _, _, _, user in by_rate]),
              (300, "by size (1 %)", [(f"{s / 1e6:.0f} MB", user) for s, _, _, _, user in by_size])]
    for left, title, bars in groups:
        top = max(cpu for _, cpu in bars)
        parts.append(f'<text x="{left + 20}" y="20" font-weight="bold">user seconds {title}</text>')
        for i, (label, cpu) in enumerate(bars):
            height = 210 * cpu / top
            x = left + 20 + i * 70
            parts.append(f'<rect x="{x}" y="{260 - height:.1f}" width="50" height="{height:.1f}" fill="#3b6ea5"/>'
                         f'<text x="{x + 25}" y="{254 - height:.1f}" text-anchor="middle">{cpu:.2f}</text>'
                         f'<text x="{x + 25}" y="278" text-anchor="middle">{label}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    build = pathlib.Path(words[0] if words else "build").resolve()
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaoseater-bench-"))
    try:
        generator = folder / "data_gen"
        subprocess.run(["cc", "-O2", "-o", generator, root / "bench" / "data_gen.c"], check=True)
        if "--sweep" in sys.argv:
            sweep(build / "chaoseater", generator, folder, root)
        else:
            compare(build / "chaoseater", generator, folder)
    finally:
        shutil.rmtree(folder)


main()
