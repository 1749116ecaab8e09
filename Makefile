# make demo: the quickstart. make test: lint and all tests, simulators too. make bench: speed, side by side with PyTorch.
# make install-tpu: .venv-tpu, which compiles for TPUs without one.
PYTHON ?= python3
VENV := .venv
TPU := .venv-tpu
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1

.PHONY: install install-robosuite install-slurm install-tpu demo test lint bench clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

# robosuite itself without its requirements: its mink wants a numpy that jax does not run with. The tasks do without.
install-robosuite: $(VENV)/.robosuite

$(VENV)/.robosuite: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,robosuite]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps robosuite==1.5.2
	@touch $@

# For the tests that start a Slurm of their own, which are skipped without it. Only root may, and only Debian has apt-get.
install-slurm:
	@if [ -z "$$(command -v sbatch)" ] && [ "$$(id -u)" = 0 ] && [ -n "$$(command -v apt-get)" ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y slurm-wlm munge > /dev/null \
	    || echo 'Slurm cannot be installed here: its tests will be skipped'; \
	fi

# A venv of its own: where libtpu is installed jax begins by looking for TPUs, and says at length that there are none.
install-tpu: $(TPU)/.installed

$(TPU)/.installed: setup.cfg
	$(PYTHON) -m venv $(TPU)
	$(TPU)/bin/pip install --quiet --disable-pip-version-check -e '.[tpu]'
	@touch $@

demo: install
	$(BIN)/python -m launch.local --config=experiments/quickstart.py --workdir=runs/quickstart

test: install-robosuite install-tpu lint
	$(BIN)/pytest -q -n auto --maxprocesses=4 --dist=loadfile  # a file's fixtures, a Slurm among them, are made once

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run --output=runs/bench/bench.json

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,bench]'
	@touch $@

clean:
	rm -rf $(VENV) $(TPU) build *.egg-info
