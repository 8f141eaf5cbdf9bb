-- Module file for Lmod. Put it into a folder of MODULEPATH as rankine/VERSION.lua, and set `root` to where
-- bin/rankine is (`sh tools/site/install.sh PREFIX` makes both).
help([[
Rankine: rank-based SPMD computing. One kernel on threads, under mpirun and under Slurm.
    rankine list; rankine run heat3d --ranks 4; man rankine
]])
whatis("Name: rankine")
whatis("Version: " .. myModuleVersion())
whatis("Description: rank-based SPMD computing: one kernel on threads, under mpirun and under Slurm")

local root = "/opt/rankine"

-- The MPI and the HDF5 that it was built with; a launcher of another MPI would start copies of rank 0.
-- depends_on("openmpi/4.1", "hdf5/1.14")

conflict("rankine")
-- man finds the pages beside a folder of PATH; a MANPATH with nothing but ours in it would hide the system's.
prepend_path("PATH", pathJoin(root, "bin"))
setenv("RANKINE_ROOT", root)
