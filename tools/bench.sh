#!/bin/sh
# The benchmarks: messaging against its C twin, heat3d against the machine's memory. Prints figures; asserts nothing.
set -eu
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cargo="cargo --locked"
case "$(sh tools/features.sh)" in
*mpi* | hdf5-parallel)
    latency=$($cargo bench --quiet -p rankine --features twin --bench latency --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*latency-[^"]*\)".*/\1/p' | tail -n 1)
    mpirun -n 2 --bind-to none "$latency" "$@"
    ;;
esac
$cargo bench --quiet -p rankine --bench heat
