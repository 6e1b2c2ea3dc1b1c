#!/bin/sh
# Fetches the library of DuckDB, by which Parquet files are read and written, from the npm registry:
# get-duckdb.sh [FOLDER]. It lands in FOLDER/libduckdb.so (default: build) when it is exactly the pinned
# one; quick and silent when it is there already. Everything but Parquet works without it.
set -eu

folder=${1:-build}
case $(uname -m) in
x86_64)
    package=@duckdb/node-bindings-linux-x64@1.5.6-r.1
    package_sha512=21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5
    library_sha256=3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633
    ;;
aarch64 | arm64)
    package=@duckdb/node-bindings-linux-arm64@1.5.5-r.5
    package_sha512=09a7c7d8022f5eda700f29c6dca07fe2e10e1d11a516807b6ae091308c07dc128d2286ec00d5792d2a43277b5fc9108522c2ba7bc013d5eb1e5959eed83bf773
    library_sha256=d00d007f3f7ca1f2896a5e4b89c2ce141bf0508506a9d6d56f9598b8e59d074e
    ;;
*)
    echo "get-duckdb: the registry has no library for $(uname -m)" >&2
    exit 1
    ;;
esac

# has SUM HASH FILE: the file is there and is that one.
has() {
    [ -f "$3" ] && echo "$2  $3" | "$1" --status -c -
}
target=$folder/libduckdb.so
has sha256sum "$library_sha256" "$target" && exit 0
mkdir -p "$folder"
work=$(mktemp -d "$folder/get-duckdb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

for other in "$folder"/../build*/libduckdb.so; do
    if has sha256sum "$library_sha256" "$other"; then
        cp "$other" "$work/libduckdb.so"
        mv "$work/libduckdb.so" "$target"
        exit 0
    fi
done

if ! command -v npm >/dev/null; then
    echo "get-duckdb: Parquet needs $package, and there is no npm here to fetch it" >&2
    exit 1
fi
echo "get-duckdb: fetching $package (24 MB)"
if ! (cd "$work" && npm pack --silent "$package" >/dev/null 2>npm.log); then
    cat "$work/npm.log" >&2
    echo "get-duckdb: npm could not fetch $package" >&2
    exit 1
fi
if ! has sha512sum "$package_sha512" "$(echo "$work"/*.tgz)"; then
    echo "get-duckdb: what npm gave for $package is not what was pinned; not used" >&2
    exit 1
fi
tar -xzf "$work"/*.tgz -C "$work" package/libduckdb.so
if ! has sha256sum "$library_sha256" "$work/package/libduckdb.so"; then
    echo "get-duckdb: the library in $package is not the pinned one; not used" >&2
    exit 1
fi
chmod 644 "$work/package/libduckdb.so"
mv "$work/package/libduckdb.so" "$target"
