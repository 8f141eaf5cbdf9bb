#!/bin/sh
# The benchmarks: messaging against its C twin, heat3d against the machine's memory. Prints figures; asserts nothing.
# Flags go to `rankine bench messaging`.
set -eu
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
case "$(sh tools/features.sh)" in
*mpi* | hdf5-parallel) mpirun -n 2 --bind-to none target/release/rankine bench messaging "$@" ;;
*) target/release/rankine bench messaging "$@" ;;
esac
cargo --locked bench --quiet -p rankine --bench heat
