# Everything runs in .venv, which make itself creates. `make help` lists the targets.
SHELL := /bin/bash
PY ?= python3
BIN := .venv/bin
STAMP := .venv/.made
CORE_SOURCES := $(wildcard core/include/*.h core/src/*.c core/src/*.h core/ports/*.c core/ports/*.h) core/build_core.py setup.py
CORE_STAMP := .venv/.core
OUT ?= out
ARGS ?=
# Of the tests: one more than the processors of a small machine, for heavy tests wait much (decision 0446).
WORKERS ?= 3

.PHONY: phone-parts help setup core firmware demo demo-phone quick test check assurance rows docs site pins sbom clean bench-delta footprint

help:
	@echo "make demo [OLD=a.bin NEW=b.bin] [ONCE=1]   a server, five terminals, a real update, a power cut, a restoration"
	@echo "make demo-phone [CUT=N] [ONCE=1]   a phone in a CPU emulator: update by air, power cut (any key), rescue, restoration"
	@echo "make test        every check and test with real parts, seeded samples"
	@echo "make quick       no root, no network, at most five minutes"
	@echo "make check       style, types, imports, C warnings, documents in step with the source"
	@echo "make assurance   full counts of every claim; goes on where it was ended; figures go to docs/assurance/"
	@echo "make rows        which test shows which promise"
	@echo "make firmware    boot core and application of the emulated reference terminals"
	@echo "make bench-delta sizes of update files against every peer, on real firmware (network)"
	@echo "make footprint   code and RAM of the decoder, and of all from boot to verdict, on Cortex-M (needs gcc-arm-none-eabi)"
	@echo "make site        the documents as pages, in out/site"
	@echo "make pins        writes the hashes of every package again, from constraints.txt (network)"
	@echo "make sbom        a list of all parts (CycloneDX), in out/sbom.json"
	@echo "make docs        writes the generated reference pages again"

$(STAMP): pyproject.toml requirements/build.txt requirements/develop.txt tools/setup.sh
	@PY=$(PY) bash tools/setup.sh
	@touch $@

$(CORE_STAMP): $(STAMP) $(CORE_SOURCES)
	@$(BIN)/python setup.py -q build_ext --inplace >.venv/core.log 2>&1 || { cat .venv/core.log; exit 1; }
	@touch $@

setup: $(STAMP)
core: $(CORE_STAMP)

demo: $(CORE_STAMP)
	@$(BIN)/python -m neurath.cli.main sim fleet --dir $(OUT)/demo $(if $(OLD),--old $(OLD)) $(if $(NEW),--new $(NEW)) $(if $(ONCE),--once) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Root installs what is missing; anybody else is told.
phone-parts:
	@if [ "$$(id -u)" = 0 ]; then bash tools/packages.sh gcc-arm-none-eabi qemu-system-arm xz-utils; else \
	  for part in arm-none-eabi-gcc qemu-system-arm xz; do command -v $$part >/dev/null || { \
	  echo "error NRT-153: $$part is not on this machine" >&2; echo "  why   the phone is built by a cross compiler and runs in a CPU emulator" >&2; \
	  echo "  try   apt install gcc-arm-none-eabi qemu-system-arm xz-utils" >&2; exit 1; }; done; fi

demo-phone: $(CORE_STAMP) phone-parts
	@$(MAKE) --no-print-directory -C firmware BOARD=sx1
	@$(BIN)/python -m neurath.cli.main sim phone --dir $(OUT)/demo-phone $(if $(CUT),--cut $(CUT)) $(if $(ONCE),--once) $(ARGS)

firmware: $(CORE_STAMP)
	@$(MAKE) --no-print-directory -C firmware

check: $(CORE_STAMP)
	@$(BIN)/python tools/check.py

quick: $(CORE_STAMP)
	@NEURATH_TIER=quick $(BIN)/pytest -q -n 2 --dist loadgroup -m "not heavy and not network" $(ARGS)

test: $(CORE_STAMP)
	@NEURATH_TIER=test $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup --durations=15 --durations-min=5 $(ARGS)

assurance: $(CORE_STAMP)
	@$(BIN)/python tools/assurance.py run $(ARGS)

rows: $(STAMP)
	@$(BIN)/python tools/rows.py

bench-delta: $(CORE_STAMP)
	@$(BIN)/pip -q install -c constraints.txt -e '.[bench]'
	@$(BIN)/python bench/delta.py $(ARGS)

footprint: $(CORE_STAMP)
	@$(BIN)/python tools/footprint.py
	@$(MAKE) --no-print-directory -C firmware bearssl
	@$(BIN)/python tools/footprint_boot.py

pins: $(STAMP)
	@bash tools/pins.sh

sbom: $(STAMP)
	@mkdir -p $(OUT)
	@$(BIN)/python tools/sbom.py $(OUT)/sbom.json

docs: $(CORE_STAMP)
	@$(BIN)/python tools/cli_reference.py --write
	@$(BIN)/python tools/error_list.py --write
	@$(BIN)/python tools/promises.py --write
	@$(BIN)/python tools/assurance.py write

site: $(CORE_STAMP)
	@$(BIN)/python -c 'import mkdocs, material' 2>/dev/null || $(BIN)/pip -q install -c constraints.txt -e '.[site]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q
	@echo "out/site/index.html"

clean:
	rm -rf .venv build out dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src -name '*.so' -delete
