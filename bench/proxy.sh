#!/bin/bash
# SPDX-License-Identifier: MIT
# `chaoseater proxy` beside HAProxy, nginx and Toxiproxy, on the same machine in the same run. Prints docs/performance.md's
# tables.
#
#     bench/proxy.sh [BUILD-FOLDER]        ROUNDS=3 SECONDS_EACH=2 CONNECTIONS=64 PATIENCE=30 by default
#
# Pinned rows: the proxy under test has cpu 1 to itself; wrk and the origin share cpu 0. CPU per request is the proxy's user
# and system time over the requests served, which holds also where the other cpu is the bottleneck. The rows take turns, and
# each figure is the median of its rounds, with the least and the greatest.
#
# A busy machine spoils every figure. So a round begins when less than 0.12 of a cpu is in use, and counts as clean if what
# others used meanwhile was less than 0.1 of a cpu. Waiting and repeating end after PATIENCE seconds in all; the last column
# tells how many rounds were clean.
#
# Needs wrk, curl and a compiler. A peer that is not installed is left out, and named. Toxiproxy is built where Go is at hand.
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build}")
rounds=${ROUNDS:-3} connections=${CONNECTIONS:-64} seconds=${SECONDS_EACH:-2} patience=${PATIENCE:-30}
toxiproxy_version=v2.12.0
idle_connections=10000
for tool in wrk curl cc; do
    command -v $tool >/dev/null || { echo "bench/proxy.sh needs $tool (tools/setup.sh bench)" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin
ninja -C "$build" chaoseater >/dev/null
ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

bench=$work/proxy_bench
cc -std=gnu17 -O2 -Wall -D_GNU_SOURCE -o "$bench" bench/proxy_bench.c -lpthread
cat >"$work/infer.lua" <<'LUA'
wrk.method, wrk.path = "POST", "/v2/models/m/infer"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"inputs":[{"name":"x","datatype":"FP64","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}]}'
LUA

# ---- servers ----

await() { # until the port accepts
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    exit 1
}

# start CPUS PORT COMMAND...: sets $port and $pid
start() {
    local cpus=$1
    port=$2
    shift 2
    taskset -c "$cpus" "$@" >/dev/null 2>&1 &
    pid=$!
    pids+=("$pid")
    await "$port"
}

start_origin() { # MS
    taskset -c 0 "$bench" origin "$1" >"$work/port" &
    pid=$!
    pids+=("$pid")
    until [ -s "$work/port" ]; do sleep 0.05; done
    port=$(cat "$work/port")
    rm "$work/port"
}

start_chaoseater() { # CPUS THREADS UPSTREAM OPTION...
    local cpus=$1 threads=$2 upstream=$3 free
    shift 3
    free=$("$bench" port)
    start "$cpus" "$free" "$build/chaoseater" proxy --threads "$threads" --listen "127.0.0.1:$free" \
        --upstream "127.0.0.1:$upstream" --seed 7 "$@"
}

start_haproxy() { # CPUS THREADS
    local free
    free=$("$bench" port)
    cat >"$work/haproxy.cfg" <<CONFIG
global
    nbthread $2
    maxconn 10500
    no strict-limits
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend f
    bind 127.0.0.1:$free
    default_backend b
backend b
    server s 127.0.0.1:$origin
CONFIG
    start "$1" "$free" haproxy -db -f "$work/haproxy.cfg"
}

start_nginx() { # CPUS
    local free
    free=$("$bench" port)
    mkdir -p "$work/nginx"
    cat >"$work/nginx.conf" <<CONFIG
daemon off;
master_process off;
error_log /dev/null;
pid $work/nginx/pid;
events { worker_connections 12000; }
http {
    access_log off;
    client_body_temp_path $work/nginx;
    proxy_temp_path $work/nginx;
    keepalive_requests 1000000000;
    upstream o { server 127.0.0.1:$origin; keepalive 256; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:$free;
        location / {
            proxy_pass http://o;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
CONFIG
    start "$1" "$free" nginx -p "$work/nginx" -c "$work/nginx.conf"
}

start_toxiproxy() { # CPUS THREADS TOXIC: its JSON, or nothing
    local free api
    free=$("$bench" port) api=$("$bench" port)
    GOMAXPROCS=$2 LOG_LEVEL=error start "$1" "$api" "$toxiproxy" -host 127.0.0.1 -port "$api"
    port=$free
    curl -sf "127.0.0.1:$api/proxies" >/dev/null \
        -d "{\"name\": \"p\", \"listen\": \"127.0.0.1:$free\", \"upstream\": \"127.0.0.1:$origin\"}"
    [ -z "${3:-}" ] || curl -sf "127.0.0.1:$api/proxies/p/toxics" -d "$3" >/dev/null
}

# ---- one round ----

# In ticks, of all cpus. Not what soft interrupts took: that is no process's, though most of it is loopback's.
busy() { awk '/^cpu / {print $2 + $3 + $4 + $7 + $9}' /proc/stat; }
used() { # ticks of these processes
    for id in "$@"; do
        sed 's/.*) //' "/proc/$id/stat"
    done | awk '{n += $12 + $13} END {print n + 0}'
}
own() { sed 's/.*) //' /proc/$$/stat | awk '{print $12 + $13 + $14 + $15}'; } # this script and what it waited for
hertz=$(getconf CLK_TCK)
waited=0 # tenths of a second

await_quiet() {
    local before
    while [ "$waited" -lt $((patience * 10)) ]; do
        before=$(busy)
        sleep 0.3
        [ $((($(busy) - before) * 1000)) -ge $((12 * 3 * hertz)) ] || return 0
        waited=$((waited + 3))
    done
}

micros() { # "1.25ms" as microseconds
    awk -v t="$1" 'BEGIN {n = t + 0; print t ~ /us$/ ? n : t ~ /ms$/ ? n * 1e3 : n * 1e6}'
}

# turn ROW: one round of it, into $work/ROW; "rate p50 p99 cpu clean"
turn() {
    local row=$1 took all mine foreign clean requests
    while :; do
        await_quiet
        took=$(used "${row_pid[row]}") mine=$(used "${pids[@]}") all=$(($(busy) - $(own)))
        ${row_wrk[row]} -c"$connections" -d"${seconds}s" --latency -s "$work/infer.lua" \
            "http://127.0.0.1:${row_port[row]}/" >"$work/wrk"
        took=$(($(used "${row_pid[row]}") - took)) mine=$(($(used "${pids[@]}") - mine))
        all=$(($(busy) - $(own) - all))
        foreign=$((all - mine))
        clean=$((foreign * 10 < seconds * hertz))
        [ "$clean" = 0 ] && [ "$waited" -lt $((patience * 10)) ] || break
        waited=$((waited + seconds * 10))
    done
    requests=$(awk '/requests in/ {print $1}' "$work/wrk")
    if grep -q "Socket errors\|Non-2xx" "$work/wrk"; then
        echo "${row_name[row]}: $(grep "Socket errors\|Non-2xx" "$work/wrk")" >&2
    fi
    echo "$(awk '/Requests\/sec/ {print $2}' "$work/wrk")" "$(micros "$(awk '$1 == "50%" {print $2}' "$work/wrk")")" \
        "$(micros "$(awk '$1 == "99%" {print $2}' "$work/wrk")")" \
        "$(echo "$took $requests $hertz" | awk '{print $2 ? $1 * 1e6 / $3 / $2 : 0}')" "$clean" >>"$work/$row"
}

# ---- tables ----

row_name=() row_port=() row_pid=() row_wrk=()
row() { # NAME: of what was just started; $wrk drives it
    row_name+=("$1") row_port+=("$port") row_pid+=("$pid") row_wrk+=("$wrk")
}

# column FILE N FORMAT MINUS: "median (min..max)"
column() {
    awk -v n="$2" '{print $n}' "$1" | sort -n | awk -v f="$3" -v m="${4:-0}" '{v[NR] = $1 - m}
        END {printf f " (" f ".." f ")", v[int((NR + 1) / 2)], v[1], v[NR]}'
}

# table ASKED: all rows so far, and forgets them; ASKED microseconds are taken off the latencies
table() {
    local of=$1 i file
    for _ in $(seq "$rounds"); do
        for i in "${!row_name[@]}"; do turn "$i"; done
    done
    for i in "${!row_name[@]}"; do
        file=$work/$i
        echo "| ${row_name[i]} | $(column "$file" 1 %.0f) | $(column "$file" 2 %.0f "$of") |" \
            "$(column "$file" 3 %.0f "$of") | $(column "$file" 4 %.2f) | $(awk '{n += $5} END {print n}' "$file")/$rounds |"
        rm "$file"
    done
    row_name=() row_port=() row_pid=() row_wrk=()
}

missing() { missing="$missing; $1 is not installed"; }
missing=""
command -v haproxy >/dev/null && haproxy=1 || { haproxy=; missing haproxy; }
command -v nginx >/dev/null && nginx=1 || { nginx=; missing nginx; }
toxiproxy=$build/bench/server
if [ ! -x "$toxiproxy" ] && command -v go >/dev/null; then
    GOFLAGS='' GOBIN=$build/bench go install "github.com/Shopify/toxiproxy/v2/cmd/server@$toxiproxy_version" >&2 || true
fi
[ -x "$toxiproxy" ] || { toxiproxy=; missing toxiproxy; }

versions="chaoseater $("$build/chaoseater" --version | awk '{print $NF}')"
[ -z "$haproxy" ] || versions="$versions, HAProxy $(haproxy -v | awk 'NR == 1 {sub("-.*", "", $3); print $3}')"
[ -z "$nginx" ] || versions="$versions, nginx $(nginx -v 2>&1 | sed 's,.*/,,')"
[ -z "$toxiproxy" ] || versions="$versions, Toxiproxy ${toxiproxy_version#v}"
echo "$(nproc) cpus of $(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo), Linux $(uname -r | sed 's/[^0-9.].*//');" \
    "$versions, wrk $(wrk -v 2>&1 | awk 'NR == 1 {sub(".*/", "", $2); sub("-.*", "", $2); print $2}')$missing"

start_origin 10
slow_origin=$port slow_pid=$pid
start_origin 0
origin=$port origin_pid=$pid

echo
echo "| $connections connections, one cpu | requests/s | p50 µs | p99 µs | CPU µs/request | clean |"
echo "|---|---|---|---|---|---|"
wrk="taskset -c 0 wrk -t1"
row "direct (CPU: the origin's)"
[ -z "$haproxy" ] || { start_haproxy 1 1; row "HAProxy"; haproxy_port=$port haproxy_pid=$pid; }
[ -z "$nginx" ] || { start_nginx 1; row "nginx"; nginx_port=$port nginx_pid=$pid; }
[ -z "$toxiproxy" ] || { start_toxiproxy 1 1; row "Toxiproxy"; toxiproxy_port=$port toxiproxy_pid=$pid; }
start_chaoseater 1 1 "$origin"
row "chaoseater, no rule"
chaoseater_port=$port chaoseater_pid=$pid
start_chaoseater 1 1 "$origin" --fault prediction_corruption --param corruption_rate=0.000000001
row "chaoseater, a rule that reads each answer"
table 0

echo
echo "| $connections connections, 10 ms asked | requests/s | p50 µs over | p99 µs over | CPU µs/request | clean |"
echo "|---|---|---|---|---|---|"
port=$slow_origin pid=$slow_pid
row "direct, the origin waits (CPU: its)"
start_chaoseater 1 1 "$slow_origin"
row "chaoseater, no rule, the origin waits"
if [ -n "$toxiproxy" ]; then
    start_toxiproxy 1 1 '{"type": "latency", "attributes": {"latency": 10}}'
    row "Toxiproxy, latency"
fi
start_chaoseater 1 1 "$origin" --fault slow_inference --param latency_ms=10 --param variance=0
row "chaoseater, slow_inference"
table 10000

echo
echo "| $connections connections, two threads, nothing pinned | requests/s | p50 µs | p99 µs | CPU µs/request | clean |"
echo "|---|---|---|---|---|---|"
wrk="wrk -t1"
[ -z "$haproxy" ] || { start_haproxy 0,1 2; row "HAProxy"; }
[ -z "$toxiproxy" ] || { start_toxiproxy 0,1 2; row "Toxiproxy"; }
start_chaoseater 0,1 2 "$origin"
row "chaoseater, no rule"
table 0

echo
echo "| half of the requests, over keep-alive: 50 ms | requests hit |"
echo "|---|---|"
if [ -n "$toxiproxy" ]; then
    start_toxiproxy 1 1 '{"type": "latency", "toxicity": 0.5, "attributes": {"latency": 50}}'
    echo "| Toxiproxy, toxicity 0.5 | $("$bench" share "$port" 50) |"
fi
start_chaoseater 1 1 "$origin" --fault slow_inference --param latency_ms=50 --param variance=0 --param share=0.5
echo "| chaoseater, share=0.5 | $("$bench" share "$port" 50) |"

# idle NAME PORT PID
idle() {
    "$bench" idle "$2" $idle_connections >"$work/idle" 2>&1 &
    local client=$!
    until [ -s "$work/idle" ]; do sleep 0.05; done
    if [ "$(cat "$work/idle")" = idle ]; then
        awk -v n="$1" '/^VmRSS/ {printf "| %s | %.1f |\n", n, $2 / 1024}' "/proc/$3/status"
    else
        echo "| $1 | not possible: $(cat "$work/idle") |"
    fi
    rm "$work/idle"
    kill "$client" 2>/dev/null || true
    wait "$client" 2>/dev/null || true
}
echo
echo "| $idle_connections idle connections, after one request on each | MiB resident |"
echo "|---|---|"
[ -z "$haproxy" ] || idle HAProxy "$haproxy_port" "$haproxy_pid"
[ -z "$nginx" ] || idle nginx "$nginx_port" "$nginx_pid"
if [ -n "$toxiproxy" ] && [ "$(ulimit -n)" -gt $((2 * idle_connections + 1000)) ]; then
    idle Toxiproxy "$toxiproxy_port" "$toxiproxy_pid"
elif [ -n "$toxiproxy" ]; then
    echo "| Toxiproxy | needs more than the $(ulimit -n) descriptors allowed here |"
fi
idle chaoseater "$chaoseater_port" "$chaoseater_pid"
