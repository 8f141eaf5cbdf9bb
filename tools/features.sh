#!/bin/sh
# Prints the cargo features of rankine-jobs that this machine's system libraries allow, comma-separated:
# nothing, `mpi`, `mpi,hdf5` or `hdf5-parallel`. Says on standard error what is missing.
set -eu

mpi=no hdf5=no parallel=no
if command -v "${MPICC:-mpicc}" >/dev/null 2>&1; then
    if ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* >/dev/null 2>&1 || [ -n "${LIBCLANG_PATH:-}" ]; then
        mpi=yes
    else
        echo "features: no libclang, which building against MPI needs (Debian: libclang-dev)" >&2
    fi
else
    echo "features: no ${MPICC:-mpicc}: building without MPI (Debian: openmpi-bin libopenmpi-dev)" >&2
fi
flags=
if [ -n "${HDF5_DIR:-}" ]; then
    hdf5=yes
    flags="-I$HDF5_DIR/include"
elif command -v pkg-config >/dev/null 2>&1 && pkg-config --exists hdf5; then
    hdf5=yes
    flags=$(pkg-config --cflags hdf5)
else
    echo "features: no HDF5: building without HDF5 files (Debian: libhdf5-openmpi-dev pkg-config)" >&2
fi
if [ $mpi = yes ] && [ $hdf5 = yes ]; then
    # shellcheck disable=SC2086 # several flags
    if printf '#include <H5pubconf.h>\n#ifndef H5_HAVE_PARALLEL\n#error serial\n#endif\n' |
        "${MPICC:-mpicc}" $flags -E -x c - >/dev/null 2>&1; then
        parallel=yes
    else
        echo "features: HDF5 was built without MPI: ranks will write one after the other" >&2
    fi
fi
if [ $parallel = yes ]; then
    echo hdf5-parallel
else
    set --
    [ $mpi = yes ] && set -- "$@" mpi
    [ $hdf5 = yes ] && set -- "$@" hdf5
    (IFS=, && echo "$*")
fi
