//! What a site installs (`tools/site`): the prefix that its script makes, the module file in a real module system, the Spack recipe
//! as Python, the container's definition as shell.

#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{ended, files};
use std::path::{Path, PathBuf};
use std::process::Command;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tools/site")
}

/// What a program says that must work.
fn works(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(words).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = ended(command);
    assert_eq!(ended.code, 0, "{program} {words:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

#[test]
fn a_prefix_is_installed_and_loaded_as_a_module() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("a prefix").display().to_string();
    let script = tools().join("install.sh").display().to_string();
    // Twice: an installation is replaced.
    for _ in 0..2 {
        works("sh", &[&script, &prefix, env!("CARGO_BIN_EXE_rankine")]);
    }
    let version = env!("CARGO_PKG_VERSION");
    let there = files(Path::new(&prefix));
    for file in [
        "bin/rankine",
        "share/man/man1/rankine-run-heat3d.1",
        "share/bash-completion/completions/rankine",
        "share/zsh/site-functions/_rankine",
        "share/fish/vendor_completions.d/rankine.fish",
        "share/rankine/jobfile.schema.json",
        "share/rankine/examples/hello.toml",
        &format!("modulefiles/rankine/{version}"),
        &format!("modulefiles-lmod/rankine/{version}.lua"),
    ] {
        assert!(there.contains(&file.to_string()), "{file}: {there:?}");
    }
    let lua = std::fs::read_to_string(format!("{prefix}/modulefiles-lmod/rankine/{version}.lua")).unwrap();
    assert!(lua.contains(&format!("local root = \"{prefix}\"\n")), "{lua}");
    // Environment Modules, installed by `tools/install.sh test`.
    let lines = format!(
        ". /usr/share/modules/init/bash; module use '{prefix}/modulefiles'; module load rankine || exit 9\n\
         command -v rankine; echo \"$RANKINE_ROOT\"; rankine --version; man -w rankine-run-heat3d\n\
         module unload rankine; command -v rankine || echo gone"
    );
    let said = works("bash", &["--norc", "-c", &lines]);
    let lines: Vec<&str> = said.lines().collect();
    let page = format!("{prefix}/share/man/man1/rankine-run-heat3d.1");
    let command = format!("{prefix}/bin/rankine");
    assert_eq!(lines[..2], [command.as_str(), prefix.as_str()]);
    assert_eq!(lines[2..4], [format!("rankine {version}").as_str(), page.as_str()]);
    assert!(lines[4] == "gone" || lines[4] != lines[0], "{lines:?}");
}

#[test]
fn the_recipe_is_python_and_builds_its_own_clone() {
    let recipe = tools().join("spack/packages/rankine/package.py").display().to_string();
    // Against a Spack that writes down what it is told.
    let lines = "import sys, types, runpy\n\
        told = []\n\
        def tell(name): return lambda *words, **named: told.append((name, words))\n\
        package = types.ModuleType('spack.package')\n\
        for name in ('license', 'version', 'variant', 'depends_on'): setattr(package, name, tell(name))\n\
        package.Package = object\n\
        package.__all__ = [name for name in vars(package) if not name.startswith('__')]\n\
        sys.modules['spack'], sys.modules['spack.package'] = types.ModuleType('spack'), package\n\
        made = runpy.run_path(sys.argv[1])['Rankine']\n\
        recipe = made()\n\
        for variants in ('+mpi+hdf5', '+mpi', '+hdf5', ''):\n\
        \x20   on = set(variants.split('+')) - {''}\n\
        \x20   recipe.spec = types.SimpleNamespace(satisfies=lambda asked: set(asked.split('+')) - {''} <= on)\n\
        \x20   print(recipe.features())\n\
        print(made.git)\n\
        print(sorted(words[0] for name, words in told if name == 'depends_on'))\n";
    let said = works("python3", &["-c", lines, &recipe]);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said[..4], ["hdf5-parallel", "mpi", "hdf5", ""]);
    assert_eq!(Path::new(said[4]), tools().parent().unwrap().parent().unwrap());
    assert!(said[5].contains("rust@1.88:") && said[5].contains("hdf5+mpi"), "{}", said[5]);
    // The Rust that it asks for is the one that the workspace asks for.
    assert!(said[5].contains(concat!("rust@", env!("CARGO_PKG_RUST_VERSION"), ":")));
}

#[test]
fn the_containers_sections_are_shell() {
    let text = std::fs::read_to_string(tools().join("rankine.def")).unwrap();
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('%') {
            sections.push((name.to_string(), String::new()));
        } else if line.starts_with("Bootstrap:") {
            sections.push(("header".to_string(), String::new()));
        } else if let Some((_, section)) = sections.last_mut() {
            section.push_str(line);
            section.push('\n');
        }
    }
    let shell: Vec<_> = sections
        .iter()
        .filter(|(name, _)| ["post", "environment", "runscript", "test"].contains(&name.as_str()))
        .collect();
    assert_eq!(shell.len(), 5, "{sections:?}");
    for (name, lines) in shell {
        assert!(!lines.trim().is_empty(), "{name}");
        works("sh", &["-n", "-c", lines]);
    }
    // What it builds with is what the project builds with.
    let install = std::fs::read_to_string(tools().parent().unwrap().join("install.sh")).unwrap();
    for package in ["openmpi-bin", "libopenmpi-dev", "libhdf5-openmpi-dev", "libclang-dev", "pkg-config"] {
        assert!(text.contains(package) && install.contains(package), "{package}");
    }
}
