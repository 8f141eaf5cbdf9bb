//! Compiles the C side of the Mpi engine when the feature `mpi` is on; does nothing otherwise.
//!
//! It does not look for the MPI library itself: the compiler wrapper (`$MPICC`, else `mpicc`) knows where it is, and
//! the crate `mpi` links it.

// A build script talks to cargo on its standard output.
#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "mpi")]
    mpi();
}

#[cfg(feature = "mpi")]
fn mpi() {
    const SHIM: &str = "src/engine/mpi/shim.c";
    println!("cargo::rerun-if-env-changed=MPICC");
    let wrapper = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_string());
    if let Err(error) = std::process::Command::new(&wrapper).arg("--version").output() {
        println!(
            "cargo::error=the feature `mpi` needs an MPI compiler wrapper, and `{wrapper}` cannot be run ({error}): \
             install one (Debian: apt-get install libopenmpi-dev libclang-dev) or name it in MPICC, or build \
             without the feature"
        );
        std::process::exit(1);
    }
    compile(&wrapper, SHIM, "rankine_mpi_shim");
}

#[cfg(feature = "mpi")]
fn compile(wrapper: &str, file: &str, library: &str) {
    println!("cargo::rerun-if-changed={file}");
    let built = cc::Build::new().compiler(wrapper).file(file).warnings(true).try_compile(library);
    if let Err(error) = built {
        println!("cargo::error=`{wrapper}` could not compile {file}: {error}");
        std::process::exit(1);
    }
}
