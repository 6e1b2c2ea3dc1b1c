# Four words: `make` builds, then `make demo`, `make test`, `make bench`. Each installs what is missing
# on a Debian machine first, and says what it does. Meson and Ninja do the work.
#
#   make test SAN=address,undefined    the same tests under sanitizers (also: SAN=thread)
#   make test TESTS=tests/unit         some of them
#   make test JOBS=1                   one after the other; a file's tests always are
#   make install PREFIX=/usr/local     DESTDIR is honoured
#   BUILD=folder                       builds somewhere else than in build/

PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
SAN ?=
TESTS ?= tests
# Most tests wait for something most of the time.
JOBS ?= $(shell expr $$(nproc) + $$(nproc))

BUILD ?= build
ifeq ($(SAN),)
TEST_BUILD ?= build-test
else
TEST_BUILD ?= build-$(if $(findstring address,$(SAN)),asan,$(SAN))
# Without recovery, or undefined behaviour would be a line on stderr that no test sees.
SAN_OPTIONS = -Db_sanitize=$(SAN) -Db_lundef=false -Dc_args=-fno-sanitize-recover=all
endif

# The library by which Parquet files are read: everything else works without it.
GET_DUCKDB = tools/get-duckdb.sh
WITHOUT_PARQUET = echo "going on without DuckDB's library: Parquet files cannot be read"

.PHONY: all demo test bench install clean setup setup-test

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@$(GET_DUCKDB) $(BUILD) || $(WITHOUT_PARQUET)

demo: all
	@$(BUILD)/chaoseater demo

test: $(TEST_BUILD)/build.ninja | setup-test
	@ninja -C $(TEST_BUILD)
	@$(GET_DUCKDB) $(TEST_BUILD) || $(WITHOUT_PARQUET)
	@CHAOSEATER_BUILD=$(abspath $(TEST_BUILD)) $(PYTHON) -m pytest -p no:cacheprovider -n $(JOBS) --dist loadfile --retry-alone -q -rs $(TESTS)

$(BUILD)/build.ninja: | setup
	@meson setup $(BUILD) --buildtype=release

$(TEST_BUILD)/build.ninja: | setup-test
	@meson setup $(TEST_BUILD) -Dseams=true $(SAN_OPTIONS)

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh build test

bench: all
	@tools/setup.sh bench
	@set -e; for bench in bench/*.sh bench/*.py; do echo "== $$bench"; "$$bench" $(BUILD); done

install: all
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@meson install -C $(BUILD) --quiet
	@echo "installed in $(DESTDIR)$(abspath $(PREFIX))"

clean:
	rm -rf build build-*
