#!/bin/sh
# Installs Debian packages that building (default) or testing (`test`) needs and that are not there; for testing, also
# VTK, which reads files as ParaView does, into an environment of Python's in target/vtk (140 MB from PyPI, once).
# As root or through sudo; where neither works it says what to install and exits with 0 for building, so that the
# Local engine can still be built, and with 1 for testing.
set -eu

build="openmpi-bin libopenmpi-dev libhdf5-openmpi-dev libclang-dev pkg-config"
test="mpich libmpich-dev hdf5-tools slurmctld slurmd slurm-client munge iproute2 python3-venv libfaketime mandoc groff zsh fish environment-modules"
vtk=9.7.2

wanted=$build
[ "${1:-build}" = test ] && wanted="$build $test"

# A download may break off: runs the words again, up to three times.
again() {
    for pause in 10 30 0; do
        "$@" && return 0
        sleep "$pause"
    done
    return 1
}

# Without NumPy, which VTK asks for and which reading does not need. Another Python may be named.
with_vtk() {
    [ "${1:-build}" = test ] || return 0
    place=$(dirname "$0")/../target/vtk
    has="import vtkmodules.vtkIOXdmf2"
    if [ -n "${RANKINE_VTK_PYTHON:-}" ]; then
        "$RANKINE_VTK_PYTHON" -c "$has" >&2 && return 0
        echo "install: RANKINE_VTK_PYTHON is $RANKINE_VTK_PYTHON, which has no VTK with vtkIOXdmf2; name another" >&2
        echo "install: Python, or none: then one is made in target/vtk." >&2
        exit 1
    fi
    has="$has; import vtkmodules.vtkCommonCore as core
assert core.vtkVersion.GetVTKVersion() == '$vtk'"
    "$place/bin/python" -c "$has" 2>/dev/null && return 0
    echo "install: VTK $vtk into target/vtk" >&2
    rm -rf "$place"
    python3 -m venv "$place" >&2 &&
        again "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "vtk==$vtk" >&2 &&
        "$place/bin/python" -c "$has" >&2 && return 0
    rm -rf "$place"
    echo "install: VTK $vtk cannot be installed into target/vtk, for the reason above. That needs python3 with venv" >&2
    echo "install: (Debian: apt-get install python3-venv), PyPI for pip, and 600 MB of disk. Or name a Python that" >&2
    echo "install: has VTK in RANKINE_VTK_PYTHON." >&2
    exit 1
}

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || { with_vtk "${1:-}"; exit 0; }

# What was built by hand or loaded as a module serves as well.
if [ "${1:-build}" = build ] && [ "$(sh "$(dirname "$0")/features.sh" 2>/dev/null)" = hdf5-parallel ] &&
    command -v mpirun >/dev/null 2>&1; then
    exit 0
fi

cannot() {
    echo "install: $1. Missing:$missing" >&2
    echo "install: install them (Debian, Ubuntu: apt-get install$missing), or on a cluster load its modules of an" >&2
    echo "install: MPI, a parallel HDF5 (set HDF5_DIR) and LLVM (set LIBCLANG_PATH)." >&2
    [ "${1:-}" != "" ] && [ "${mode:-build}" = test ] && exit 1
    exit 0
}
mode=${1:-build}

command -v apt-get >/dev/null 2>&1 || cannot "this is no Debian"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root=sudo
elif [ -t 0 ] && command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    cannot "not root, and sudo needs a password"
fi
echo "install: apt-get install$missing" >&2
# A new machine may be busy with its own updates.
patient="-o DPkg::Lock::Timeout=600"
# shellcheck disable=SC2086 # a list
again $as_root apt-get $patient update -qq >&2 || cannot "apt-get update failed"
# shellcheck disable=SC2086 # a list
again $as_root env DEBIAN_FRONTEND=noninteractive apt-get $patient install -y -qq $missing >&2 ||
    cannot "apt-get install failed"
with_vtk "$mode"
