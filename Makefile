# make run    set up and start the service on ./inbox and ./outbox
# make test   set up and pass the tests
# make faults try every kill and every error of the world at every change the service makes (hours)
# make fuzz   feed the readers whatever covers more of them, for ten minutes (MINUTES=…)
# make peers  compare the sync with a plain loop and with dlt: how fast, and what of an API that misbehaves (minutes)
# make demo   show the whole story on the sample, in seconds

VENV := .venv
PY := $(VENV)/bin/python
MINUTES := 10
# The first Python on the machine that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: run test faults fuzz demo lint bench peers lock clean
.DELETE_ON_ERROR:

run: $(VENV)/run-time
	exec $(PY) -m service watch

test: $(VENV)/development
	$(PY) -m pytest $(ARGS)

# Not by xdist: the sweeps keep all cores busy themselves.
faults: $(VENV)/development
	FAULTS=all $(PY) -m pytest -n0 tests/faults tests/test_pairing_model.py tests/test_readers_fuzzed.py $(ARGS)

fuzz: $(VENV)/fuzzer
	$(PY) -m tests.fuzz $(MINUTES)

demo: $(VENV)/run-time
	$(PY) -m service demo

lint: $(VENV)/development
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/development
	$(PY) -m benchmarks $(ARGS)

peers: $(VENV)/peers
	$(PY) -m benchmarks sync-peers $(ARGS)
	$(PY) -m benchmarks sync-faults

$(VENV)/run-time: requirements/run.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	touch $@

$(VENV)/development: requirements/dev.txt $(VENV)/run-time | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

# Not among the development's: nobody but the fuzzer needs it, and not every machine can have it.
$(VENV)/fuzzer: requirements/fuzz.txt $(VENV)/run-time | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	touch $@

# Nor these: they are there to be compared with.
$(VENV)/peers: requirements/peers.txt $(VENV)/run-time | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/peers.txt
	touch $@

$(PY):
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer; install it, or say make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Writes the hash-locked requirements anew from pyproject.toml (needs uv).
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/run.txt --upgrade
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/dev.txt --upgrade
	uv pip compile pyproject.toml --extra fuzz --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/fuzz.txt --upgrade
	uv pip compile pyproject.toml --extra peers --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/peers.txt --upgrade

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
