# The two commands: `make run` and `make test`. Both install what is missing (apt, as root or through sudo).
# `make test` also puts VTK from PyPI into target/vtk.
#
#   make run      the main job: heat through a brain scan, under mpirun if there is one   [RANKS=2 THREADS=1 STEPS=300]
#   make test     everything that must hold; what CI runs
#   make build    the command `rankine`, in target/release, for this machine's processor
#   make bench    messaging and heat3d against C and the machine's limits          [FLAGS="--out folder"]
#   make deps     only install what building needs

RANKS ?= 2
THREADS ?= 1
STEPS ?= 300

# For the machine that builds; not for binaries that are carried elsewhere.
NATIVE := -C target-cpu=native
CARGO ?= cargo
FEATURES = $(shell sh tools/features.sh 2>/dev/null)
RANKINE := target/release/rankine

# For the provenance of runs.
export RANKINE_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)

# Open MPI refuses root and more ranks than cores unless told; it is told only where that is so.
export OMPI_ALLOW_RUN_AS_ROOT ?= $(if $(filter 0,$(shell id -u)),1)
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM ?= $(OMPI_ALLOW_RUN_AS_ROOT)
export PRTE_ALLOW_RUN_AS_ROOT ?= $(OMPI_ALLOW_RUN_AS_ROOT)
export PRTE_ALLOW_RUN_AS_ROOT_CONFIRM ?= $(OMPI_ALLOW_RUN_AS_ROOT)

.PHONY: run test build bench deps clean

deps:
	@sh tools/install.sh build

build: deps
	@sh tools/features.sh >/dev/null
	RUSTFLAGS="$(NATIVE) $(RUSTFLAGS)" $(CARGO) build --locked --release -p rankine-jobs --features "$(FEATURES)"

run: build
	@sh tools/run.sh $(RANKINE) $(RANKS) $(THREADS) $(STEPS)

test:
	@sh tools/test.sh

bench: build
	@RUSTFLAGS="$(NATIVE) $(RUSTFLAGS)" sh tools/bench.sh $(FLAGS)

clean:
	$(CARGO) clean
