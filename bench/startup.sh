#!/bin/sh
# Start-up: `chaoseater --version`, from exec to exit. The goal is 5 ms.
# startup.sh [BUILD_FOLDER]
set -eu
program=${1:-build}/chaoseater

if command -v hyperfine >/dev/null; then
    hyperfine --shell=none --warmup 50 --runs 500 "$program --version"
    exit
fi

echo "hyperfine is not installed; 500 runs, with the fork and exec of each:"
/usr/bin/python3 - "$program" <<'PYTHON'
import subprocess, sys, time

times = []
for _ in range(500):
    start = time.perf_counter()
    subprocess.run([sys.argv[1], "--version"], stdout=subprocess.DEVNULL, check=True)
    times.append((time.perf_counter() - start) * 1000)
times.sort()
print(f"median {times[250]:.2f} ms, fastest {times[0]:.2f} ms")
PYTHON
