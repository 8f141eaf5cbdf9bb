# Spack recipe. It builds the clone of the repository that it lies in; elsewhere, name that one in RANKINE_SOURCE:
#     spack repo add tools/site/spack
#     spack install rankine                  # MPI and parallel HDF5
#     spack install rankine ~mpi ~hdf5       # threads alone, with no system library
import os
from pathlib import Path

from spack.package import *

try:
    from spack_repo.builtin.build_systems.generic import Package
except ImportError:
    # Before Spack 1.0 it is in spack.package.
    pass


class Rankine(Package):
    """Rank-based SPMD computing in Rust: one kernel on threads, under mpirun and under Slurm."""

    git = os.environ.get("RANKINE_SOURCE", str(Path(__file__).resolve().parents[5]))

    license("MIT OR Apache-2.0")

    version("main", branch="main")

    variant("mpi", default=True, description="Ranks as processes, over MPI")
    variant("hdf5", default=True, description="Files of runs, checkpoints and input in HDF5")
    variant("native", default=True, description="For the processor that Spack builds for")

    depends_on("c", type="build", when="+mpi")
    depends_on("rust@1.88:", type="build")
    depends_on("mpi", when="+mpi")
    depends_on("hdf5+mpi", when="+hdf5+mpi")
    depends_on("hdf5~mpi", when="+hdf5~mpi")
    depends_on("pkgconfig", type="build", when="+hdf5")
    # The MPI binding is made by libclang.
    depends_on("llvm+clang", type="build", when="+mpi")

    def features(self):
        spec = self.spec
        if spec.satisfies("+mpi+hdf5"):
            return "hdf5-parallel"
        return ",".join(name for name in ("mpi", "hdf5") if spec.satisfies("+" + name))

    def setup_build_environment(self, env):
        spec = self.spec
        env.set("CARGO_HOME", join_path(self.stage.path, "cargo"))
        if spec.satisfies("+mpi"):
            env.set("MPICC", spec["mpi"].mpicc)
            env.set("LIBCLANG_PATH", spec["llvm"].prefix.lib)
        if spec.satisfies("+hdf5"):
            env.set("HDF5_DIR", spec["hdf5"].prefix)
        if spec.satisfies("+native"):
            # rustc has LLVM's names of processors, as clang has them; of ARM's, those of architectures are none.
            flags = spec.target.optimization_flags("clang", "17.0.0").split()
            march = [flag.split("=")[1] for flag in flags if flag.startswith(("-march=", "-mcpu="))]
            march = [name for name in march if not name.startswith("armv")]
            if march:
                env.set("RUSTFLAGS", "-C target-cpu=" + march[0])

    def install(self, spec, prefix):
        features = self.features()
        words = ["build", "--release", "--locked", "--package", "rankine-jobs"]
        which("cargo")(*words, *(["--features", features] if features else []))
        mkdirp(prefix.bin)
        install(join_path("target", "release", "rankine"), prefix.bin)
        rankine = Executable(prefix.bin.rankine)
        rankine("man", "--out", prefix.share.man.man1)
        for shell, folder, name in (
            ("bash", prefix.share.join("bash-completion").completions, "rankine"),
            ("zsh", prefix.share.zsh.join("site-functions"), "_rankine"),
            ("fish", prefix.share.fish.vendor_completions.d, "rankine.fish"),
        ):
            mkdirp(folder)
            with open(join_path(folder, name), "w") as script:
                rankine("completions", shell, output=script)
        install_tree(join_path("jobs", "examples"), prefix.share.rankine.examples)
