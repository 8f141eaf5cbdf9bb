#!/bin/sh
# The main job: run.sh RANKINE RANKS THREADS STEPS. Under mpirun where `rankine` was built with MPI and there is one,
# on threads otherwise.
set -eu
rankine=$1 ranks=$2 threads=$3 steps=$4
job="run heat3d --job jobs/examples/brain.toml --steps $steps --threads $threads"

case "$(sh tools/features.sh 2>/dev/null)" in
*hdf5*) ;;
*)
    echo "run: without HDF5 the scan cannot be read; running the formula instead" >&2
    job="run heat3d --steps $steps --threads $threads --cells 128"
    ;;
esac
case "$(sh tools/features.sh 2>/dev/null)" in
*mpi* | hdf5-parallel)
    oversubscribe=
    [ "$((ranks * threads))" -le "$(nproc)" ] || oversubscribe=--oversubscribe
    # shellcheck disable=SC2086 # lists
    exec mpirun -n "$ranks" $oversubscribe --bind-to none "$rankine" $job
    ;;
*)
    # shellcheck disable=SC2086 # a list
    exec "$rankine" $job --ranks "$ranks"
    ;;
esac
