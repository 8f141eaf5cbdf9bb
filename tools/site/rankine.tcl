#%Module1.0
# Module file for Environment Modules (Lmod reads it, too). Put it into a folder of MODULEPATH as rankine/VERSION, and set
# `root` to where bin/rankine is (`sh tools/site/install.sh PREFIX` makes both).
proc ModulesHelp { } {
    puts stderr "Rankine: rank-based SPMD computing. One kernel on threads, under mpirun and under Slurm."
    puts stderr "    rankine list; rankine run heat3d --ranks 4; man rankine"
}
module-whatis "rank-based SPMD computing: one kernel on threads, under mpirun and under Slurm"

set root "/opt/rankine"

# The MPI and the HDF5 that it was built with; a launcher of another MPI would start copies of rank 0.
# prereq openmpi/4.1
# prereq hdf5/1.14

conflict rankine
# man finds the pages beside a folder of PATH; a MANPATH with nothing but ours in it would hide the system's.
prepend-path PATH "$root/bin"
setenv RANKINE_ROOT "$root"
