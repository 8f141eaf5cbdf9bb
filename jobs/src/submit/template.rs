//! Where the frame of a batch script comes from: a file that is named, the user's, the site's, or the built-in one.
//! What a template is, is `rankine-slurm`'s business.

use rankine::{Error, Result};
use rankine_slurm::Template;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file's name in a folder of settings.
const NAME: &str = "rankine/submit.sh";

/// The template: `asked`, else RANKINE_TEMPLATE, else the user's or the site's file, else the built-in one.
///
/// # Errors
/// A file that was named and cannot be read; a template that is wrong.
pub fn find(asked: Option<&Path>) -> Result<Template> {
    let named = asked.map(Path::to_path_buf).or_else(|| variable("RANKINE_TEMPLATE").map(PathBuf::from));
    let path = match named {
        Some(path) => path,
        None => match places(variable).into_iter().find(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(Template::default()),
        },
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::io(format!("cannot read the template {}: {error}", path.display())).help(
            "name another with --template or RANKINE_TEMPLATE, or none; `rankine submit --show-template` writes one to begin with",
        )
    })?;
    Template::new(&path.display().to_string(), text).map_err(super::slurm)
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where a template may lie, the user's before the site's.
fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let user = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
    let sites = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let sites = std::env::split_paths(&sites).chain([PathBuf::from("/etc")]).collect::<Vec<_>>();
    user.into_iter().chain(sites).map(|folder| folder.join(NAME)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_comes_before_the_sites() {
        let of = |known: &[(&str, &str)]| {
            places(|name| known.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[("HOME", "/home/me")]),
            ["/home/me/.config/rankine/submit.sh", "/etc/xdg/rankine/submit.sh", "/etc/rankine/submit.sh"]
        );
        assert_eq!(
            of(&[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "/c"), ("XDG_CONFIG_DIRS", "/a:/b")]),
            [
                "/c/rankine/submit.sh",
                "/a/rankine/submit.sh",
                "/b/rankine/submit.sh",
                "/etc/rankine/submit.sh"
            ]
        );
    }
}
