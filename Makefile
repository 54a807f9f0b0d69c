# make run    set up and start the service on ./inbox and ./outbox, and its page
# make test   set up and run the tests in their quick size, in minutes (ARGS=… for pytest; FAULTS=sweep as CI does)
# make lint   check style and types
# make ci     run everything that CI runs (needs a Docker engine)
# make faults kill the service, and make it fail, at every change it makes, and over histories of ids (hours)
# make fuzz   feed the readers inputs that cover more of their code, for ten minutes (MINUTES=…)
# make bench  measure the whole service, against other programs too, and write docs/performance.md (ARGS=… for parts)
# make accuracy  measure the matchers on data whose customers are known, and write docs/accuracy.md (minutes)
# make peers  compare the sync with a plain loop and with dlt: speed, and behaviour with a faulty API (minutes)
# make spark  compare Spark on a cluster of this machine with the embedded engine, and kill its nodes (FAULTS=all: on
#             every case, in every stage; needs Java 17)
# make screenshots  draw the pages of the dashboard for the docs, in Chromium
# make demo   show every step on the sample, in seconds
# make lock   write the hash-locked requirements from pyproject.toml, and the SBOM
# make sbom   write requirements/sbom.cdx.json, the CycloneDX list of what the image installs
# make audit  compare what the image installs with PyPI's database of known vulnerabilities (needs the network)

VENV := .venv
PY := $(VENV)/bin/python
# How the service prints commands in hints.
run demo: export SERVICE_COMMAND := $(PY) -m service
MINUTES := 10
# The first Python on the machine that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: run test screenshots lint ci faults fuzz demo bench accuracy peers spark lock sbom audit clean
.DELETE_ON_ERROR:

run: $(VENV)/run-time
	exec $(PY) -m service run

# Modules are compiled once, not in each of the hundreds of processes that the tests start.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/compiled
	$(PY) -m pytest $(ARGS)

screenshots: $(VENV)/development
	UPDATE_SCREENSHOTS=1 FAULTS=sweep $(PY) -m pytest -n0 tests/dashboard/served/test_screenshots.py

# Not with xdist: the sweeps keep all cores busy themselves.
faults: $(VENV)/development
	FAULTS=all $(PY) -m pytest -n0 tests/faults tests/test_pairing_model.py tests/test_readers_fuzzed.py \
		tests/test_id_histories.py tests/test_register.py $(ARGS)

fuzz: $(VENV)/fuzzer
	$(PY) -m tests.fuzz $(MINUTES)

demo: $(VENV)/run-time
	$(PY) -m service demo

lint: $(VENV)/development
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# In the environment of this shell; CI calls the script itself, in a clean checkout.
ci:
	.ci/run

# Without the network there are no other programs: their rows say so.
bench: $(VENV)/development
	-$(MAKE) $(VENV)/peers
	$(PY) -m benchmarks $(ARGS)

# The data is made in an environment of its own, which needs packages that the matchers do not.
accuracy: $(VENV)/development $(VENV)/gold $(VENV)/peers
	$(VENV)/known/bin/python -m benchmarks.accuracy.gold $(VENV)/known/sets
	$(PY) -m benchmarks.accuracy $(VENV)/known/sets docs/accuracy.md $(VENV)/others/bin/python

peers: $(VENV)/peers
	$(VENV)/others/bin/python -m benchmarks sync-peers $(ARGS)
	$(VENV)/others/bin/python -m benchmarks sync-faults

# Their tests have the engine as a parameter; FAULTS=all runs those with Spark.
LAWS := $(addprefix tests/test_,$(addsuffix .py,laws decisions register identity_log filled normalise analytics engine))
spark: $(VENV)/spark
	REQUIRE_SPARK=1 FAULTS=$(or $(FAULTS),sweep) $(VENV)/distributed/bin/python -m pytest -n2 \
		$(wildcard tests/test_spark*.py) $(if $(filter all,$(FAULTS)),$(LAWS) -k spark) $(ARGS)

$(VENV)/run-time: requirements/run.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --no-compile --require-hashes -r requirements/run.txt
	touch $@

# The requirements for development hold those for the run.
$(VENV)/development: requirements/dev.txt requirements/run.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	touch $(VENV)/run-time $@

# One process compiles all that is imported; else each worker would, at the same time.
$(VENV)/compiled: $(VENV)/development
	$(PY) -m pytest -q -n0 --collect-only >$@.txt || { cat $@.txt; exit 1; }
	touch $@

# Not in the requirements for development: only the fuzzer needs it, and not every machine can install it.
$(VENV)/fuzzer: requirements/fuzz.txt $(VENV)/run-time | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	touch $@

# In an environment of their own: these programs are only compared with, and some packages get slower beside pandas.
$(VENV)/peers: requirements/peers.txt | $(PY)
	$(PY) -m venv $(VENV)/others
	$(VENV)/others/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/peers.txt
	touch $@

# In an environment of its own: the generators are no part of the service, and need another pandas than the peers.
$(VENV)/gold: requirements/gold.txt | $(PY)
	$(PY) -m venv $(VENV)/known
	$(VENV)/known/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/gold.txt
	touch $@

# In an environment of its own: pandas, which Spark needs, makes calls of functions in Python slower.
$(VENV)/spark: requirements/spark.txt requirements/dev.txt | $(PY)
	$(PY) -m venv $(VENV)/distributed
	$(VENV)/distributed/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(VENV)/distributed/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/spark.txt
	touch $@

# Not in the requirements for development: these programs only read the locked requirements.
$(VENV)/audit: requirements/audit.txt | $(PY)
	$(PY) -m venv $(VENV)/auditor
	$(VENV)/auditor/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/audit.txt
	touch $@

# The list names packages, not a registry: the index is given as a package URL, and what the tool says of itself is left out,
# as are the descriptions, which only repeat the requirements.
SBOM_TEXT := import json, sys; sbom = json.load(open(sys.argv[1])); \
	[tool.pop("externalReferences", None) for tool in sbom["metadata"]["tools"]["components"]]; \
	[package.pop("description", None) for package in sbom["components"]]; \
	print(json.dumps(sbom, indent=2, sort_keys=True))
sbom: $(VENV)/audit
	$(VENV)/auditor/bin/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --short-PURLs \
		--index-url pkg:pypi --output-reproducible -o $(VENV)/sbom.json
	$(PY) -c '$(SBOM_TEXT)' $(VENV)/sbom.json > requirements/sbom.cdx.json

# --strict: a package that the database could not be asked about is no success.
audit: $(VENV)/audit
	$(VENV)/auditor/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/run.txt

$(PY):
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer; install it, or run make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Writes the hash-locked requirements from pyproject.toml, with the latest versions it allows (needs uv).
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header -q --upgrade
lock:
	$(LOCK) -o requirements/run.txt
	$(LOCK) --extra dev -o requirements/dev.txt
	$(LOCK) --extra fuzz -o requirements/fuzz.txt
	$(LOCK) --extra peers -o requirements/peers.txt
	$(LOCK) --extra gold -o requirements/gold.txt
	$(LOCK) --extra audit -o requirements/audit.txt
	$(LOCK) --extra spark -o requirements/spark.txt
	$(MAKE) sbom

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
