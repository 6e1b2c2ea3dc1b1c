#!/bin/sh
# Installs what is missing on a Debian machine: setup.sh [build] [test] [bench]
# Quick and silent when everything is there. Needs root (itself, or sudo) only to install something.
set -eu

missing=""

# need PACKAGE CHECK...: the package is missing when the check fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

for part in "${@:-build}"; do
    case $part in
    build)
        need build-essential command -v cc
        need pkg-config command -v pkg-config
        need meson command -v meson
        need ninja-build command -v ninja
        need libjansson-dev pkg-config --exists 'jansson >= 2.14'
        need libyaml-dev pkg-config --exists yaml-0.1
        need libssl-dev pkg-config --exists libcrypto
        need libmicrohttpd-dev pkg-config --exists libmicrohttpd
        need libcurl4-openssl-dev pkg-config --exists libcurl
        need liblinear-dev test -e /usr/include/linear.h
        need zlib1g-dev pkg-config --exists zlib
        need libzstd-dev pkg-config --exists libzstd
        need libnghttp2-dev pkg-config --exists 'libnghttp2 >= 1.52'
        need libsqlite3-dev pkg-config --exists 'sqlite3 >= 3.37'
        need libmnl-dev pkg-config --exists libmnl
        need libfuse3-dev pkg-config --exists fuse3
        ;;
    test)
        need python3-pytest /usr/bin/python3 -c 'import pytest'
        need nftables test -x /usr/sbin/nft
        need python3-pytest-xdist /usr/bin/python3 -c 'import xdist'
        need python3-jsonschema /usr/bin/python3 -c 'import jsonschema'
        need python3-yaml /usr/bin/python3 -c 'import yaml'
        need python3-html5lib /usr/bin/python3 -c 'import html5lib'
        need curl command -v curl
        need openssl command -v openssl
        need libpq5 sh -c '/sbin/ldconfig -p | grep -q libpq.so.5'
        need python3-venv /usr/bin/python3 -c 'import ensurepip'
        need python3-dev sh -c 'test -e "$(/usr/bin/python3 -c "import sysconfig; print(sysconfig.get_path(\"include\"))")/Python.h"'
        need node-llhttp test -e /usr/share/llhttp/llhttp.c
        need python3-pip /usr/bin/python3 -c 'import pip'
        need qemu-system-x86 command -v qemu-system-x86_64
        need busybox-static command -v busybox
        need systemd test -x /lib/systemd/systemd
        need dmsetup test -x /sbin/dmsetup
        need e2fsprogs test -x /sbin/mkfs.ext4
        need iptables test -x /usr/sbin/iptables
        need iproute2 test -x /usr/sbin/tc
        need fio command -v fio
        need prometheus command -v promtool
        need prometheus-pushgateway command -v prometheus-pushgateway
        need chromium command -v chromium
        need python3-prometheus-client /usr/bin/python3 -c 'import prometheus_client'
        ;;
    bench)
        need wrk command -v wrk
        need curl command -v curl
        need haproxy test -x /usr/sbin/haproxy
        need nginx-light test -x /usr/sbin/nginx
        need hyperfine command -v hyperfine
        need python3-pandas /usr/bin/python3 -c 'import pandas'
        ;;
    *)
        echo "setup: '$part' is not build, test or bench" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: missing here, by their Debian names:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: please have root run: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "setup: installing from Debian:$missing"
export DEBIAN_FRONTEND=noninteractive
# Servers that tests start are not to run by themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    trap '$as_root rm -f $policy' EXIT
fi
# A fresh machine has no package lists yet.
$as_root apt-get update -q
# shellcheck disable=SC2086 # one word for each package
$as_root apt-get install -q -y --no-install-recommends $missing
for server in prometheus prometheus-pushgateway; do
    case "$missing " in
    *" $server "*) $as_root systemctl disable -q $server || true ;;
    esac
done
