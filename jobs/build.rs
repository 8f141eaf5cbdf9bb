//! Compiles the C twin of `rankine bench messaging` when the feature `mpi` is on; does nothing otherwise.

// A build script talks to cargo on its standard output.
#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "mpi")]
    twin();
}

#[cfg(feature = "mpi")]
fn twin() {
    println!("cargo::rerun-if-env-changed=MPICC");
    println!("cargo::rerun-if-changed=twin/twin.c");
    let wrapper = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_string());
    // As C programmers build what they measure, also in a debug build of ours.
    let built = cc::Build::new()
        .compiler(&wrapper)
        .file("twin/twin.c")
        .opt_level(3)
        .warnings(true)
        .try_compile("twin");
    if let Err(error) = built {
        println!("cargo::error=`{wrapper}` could not compile twin/twin.c: {error}");
        std::process::exit(1);
    }
}
