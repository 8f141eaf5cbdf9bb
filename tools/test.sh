#!/bin/sh
# Everything that must hold: formatting, lints, the suite on both engines, the jobs end to end, a Slurm cluster.
# Nothing is skipped: what is missing is installed or fails.
set -eu
started=$(date +%s)
step() {
    printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - started))"
}

sh tools/install.sh test
features=$(sh tools/features.sh)
[ "$features" = hdf5-parallel ] || { echo "test: needs MPI and parallel HDF5; found: ${features:-neither}" >&2; exit 1; }

cargo="cargo --locked"
# Everything is built once.
export CARGO_INCREMENTAL=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Ranks that wait give their core away, since there are more of them than cores; no leftovers in shared memory.
export OMPI_MCA_mpi_yield_when_idle=1
export RANKINE_MPIRUN="mpirun --oversubscribe --bind-to none"
# The last mpirun to end removes its folder of sessions while another may be about to use it.
sessions=${TMPDIR:-/tmp}/ompi.$(uname -n | cut -d. -f1).$(id -u)
mkdir -p -m 700 "$sessions" && mkdir -p "$sessions/keep"
# A Python with VTK, from here.
export RANKINE_VTK_PYTHON="${RANKINE_VTK_PYTHON:-target/vtk/bin/python}"
# The same words for everything, so that nothing is built twice.
all="--workspace --features rankine-jobs/hdf5-parallel,rankine-jobs/testbed-tests,rankine-jobs/vtk-tests,rankine-slurm/testbed-tests"

step formatting
cargo fmt --all --check

step lints
$cargo clippy --quiet --workspace --all-targets -- -D warnings
$cargo clippy --quiet $all --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" $cargo doc --quiet --workspace --no-deps

step "the suite on the Local engine; jobs under mpirun, on a real Slurm cluster of four nodes, and read by VTK"
$cargo test --quiet $all

step no system package: the workspace by cargo alone
$cargo test --quiet -p rankine-jobs --test cli

# Builds the conformance suite with the given words for cargo, and runs it under the given launcher on so many ranks.
conform() {
    launcher=$1 worlds=$2
    shift 2
    conformance=$($cargo test --quiet "$@" -p rankine --test conformance --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*conformance-[^"]*\)".*/\1/p' | tail -n 1)
    [ -x "$conformance" ] || { echo "test: no conformance binary" >&2; exit 1; }
    for ranks in $worlds; do
        for checked in 0 1; do
            # shellcheck disable=SC2086 # a command and its flags
            RANKINE_CHECKED=$checked timeout 1200 $launcher -n $ranks "$conformance" ||
                { echo "test: code $? (124: no end) of $ranks ranks, checked $checked, under $launcher" >&2; exit 1; }
        done
    done
}

step the same suite under mpirun of Open MPI
# shellcheck disable=SC2086 # several words
conform "$RANKINE_MPIRUN" "1 2 3 4 7" $all

step the same suite with a watch that has no patience
# shellcheck disable=SC2086 # several words
RANKINE_PATIENCE=0.001 conform "$RANKINE_MPIRUN" 3 $all

step the same suite with counts beyond an int
# shellcheck disable=SC2086 # several words
RANKINE_SMALL_COUNTS=1 conform "$RANKINE_MPIRUN" "2 3" $all

step the same suite under mpirun of MPICH
(
    export MPICC=mpicc.mpich CARGO_TARGET_DIR=target/mpich
    mkdir -p target/mpich
    cc -O2 -shared -fPIC -Wall -Wextra -Werror tools/yield.c -o target/mpich/yield.so -ldl
    conform mpirun.mpich "1 2" --features rankine/mpi
    conform "mpirun.mpich -env LD_PRELOAD target/mpich/yield.so" "3 4 7" --features rankine/mpi
    RANKINE_MPIRUN=mpirun.mpich $cargo test --quiet -p rankine --features rankine/mpi --test stuck -- mpi::
    $cargo test --quiet -p rankine-jobs --features mpi --test doctor
)

# Without leaks: rayon keeps the pool that a rank's own thread is a member of (`use_current_thread` says so). What is too
# large is refused, as it is without the sanitizer.
step "memory errors: the Local engine under AddressSanitizer"
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan \
    $cargo test --quiet -p rankine --test conformance --target "$(rustc -vV | sed -n 's/^host: //p')"

step done
