#!/bin/bash
# SPDX-License-Identifier: MIT
# The proxy's cost, beside HAProxy's on the same machine in the same run: 64 keep-alive connections, 1 KiB bodies.
#
#     bench/proxy.sh [BUILD-FOLDER]        ROUNDS=5 CONNECTIONS=64 SECONDS_EACH=2 by default
#
# The proxy under test has cpu 1 to itself; wrk and the origin share cpu 0. CPU/request is the proxy's user and system
# time over the requests served, which holds also where the other core is the bottleneck. Medians over the rounds. Needs
# wrk; HAProxy's row is left out where it is not installed. A busy machine spoils every figure: look at "idle".
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
rounds=${ROUNDS:-5} connections=${CONNECTIONS:-64} seconds=${SECONDS_EACH:-2}
command -v wrk >/dev/null || { echo "bench/proxy.sh needs wrk (apt install wrk)" >&2; exit 1; }
haproxy=$(command -v haproxy || ls /usr/sbin/haproxy 2>/dev/null || true)

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

ninja -C "$build" src/proxy/libce_proxy.a src/base/libce_base.a >/dev/null
bench=$work/proxy_bench
cc -std=gnu17 -O2 -Wall -D_GNU_SOURCE -Iinclude -Isrc -o "$bench" bench/proxy_bench.c \
    "$build/src/proxy/libce_proxy.a" "$build/src/base/libce_base.a" -ljansson -lcrypto -lpthread -lm

await() { # until the port accepts
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    exit 1
}

# start CPU PORT COMMAND...: sets $started
start() {
    local cpu=$1 port=$2
    shift 2
    taskset -c "$cpu" "$@" >/dev/null 2>&1 &
    started=$!
    pids+=("$started")
    await "$port"
}

ticks() { # of user and system time that the process has used
    local stat
    stat=$(cat "/proc/$1/stat")
    set -- ${stat##*) }
    echo $((${12} + ${13}))
}
idle() { awk '/^cpu / {print $5}' /proc/stat; }

median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
micros() { # "1.25ms" as microseconds
    awk -v t="$1" 'BEGIN {n = t + 0; print t ~ /us$/ ? n : t ~ /ms$/ ? n * 1e3 : n * 1e6}'
}

# measure NAME PORT PID
measure() {
    local name=$1 port=$2 pid=$3
    : >"$work/rates"; : >"$work/p50"; : >"$work/p99"; : >"$work/cpu"; : >"$work/idle"
    for _ in $(seq "$rounds"); do
        local before idle_before requests
        idle_before=$(idle)
        before=$(ticks "$pid")
        taskset -c 0 wrk -t1 -c"$connections" -d"${seconds}s" --latency "http://127.0.0.1:$port/" >"$work/wrk"
        requests=$(awk '/requests in/ {print $1}' "$work/wrk")
        echo $((($(ticks "$pid") - before) * 1000000 / $(getconf CLK_TCK))) "$requests" |
            awk '{printf "%.2f\n", $2 ? $1 / $2 : 0}' >>"$work/cpu"
        echo $((($(idle) - idle_before) * 100 / ($(getconf CLK_TCK) * seconds))) >>"$work/idle"
        awk '/Requests\/sec/ {print $2}' "$work/wrk" >>"$work/rates"
        micros "$(awk '$1 == "50%" {print $2}' "$work/wrk")" >>"$work/p50"
        micros "$(awk '$1 == "99%" {print $2}' "$work/wrk")" >>"$work/p99"
        if grep -q "Socket errors\|Non-2xx" "$work/wrk"; then
            grep "Socket errors\|Non-2xx" "$work/wrk" >&2
        fi
    done
    printf '%-26s %10.0f %9.0f %9.0f %11.2f %7s%%\n' "$name" "$(median <"$work/rates")" "$(median <"$work/p50")" \
        "$(median <"$work/p99")" "$(median <"$work/cpu")" "$(median <"$work/idle")"
}

origin=$("$bench" port)
start 0 "$origin" "$bench" origin "$origin"
origin_pid=$started
printf '%-26s %10s %9s %9s %11s %8s\n' "" "req/s" "p50 us" "p99 us" "CPU us/req" "idle"
measure "direct (origin's CPU)" "$origin" "$origin_pid"

if [ -n "$haproxy" ]; then
    port=$("$bench" port)
    cat >"$work/haproxy.cfg" <<CONFIG
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend f
    bind 127.0.0.1:$port
    default_backend b
backend b
    server s 127.0.0.1:$origin
CONFIG
    start 1 "$port" "$haproxy" -db -f "$work/haproxy.cfg"
    measure "haproxy, mode http" "$port" "$started"
    kill "$started"
fi

for what in proxy inspect; do
    port=$("$bench" port)
    start 1 "$port" "$bench" "$what" "$port" "$origin"
    measure "chaoseater, $([ $what = proxy ] && echo "no rule" || echo "one inspecting rule")" "$port" "$started"
    kill "$started"
done

port=$("$bench" port)
start 1 "$port" "$bench" delay "$port" "$origin" 10
measure "chaoseater, 10000 us asked" "$port" "$started"
