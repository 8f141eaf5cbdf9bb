//! One word of a shell command line, whatever it holds. Not a shell parser, and not for `#SBATCH` lines:
//! Slurm reads those with rules of its own, so [`resources`](crate::resources) restricts what may stand there.

/// `word` as bash reads it back unchanged, on one line of printable characters.
///
/// A word of harmless characters stays as it is, others stand in single quotes. Control characters become
/// `$'\012'` (bash, and POSIX since 2024): `sbatch` refuses a script with a carriage return in it, and a line
/// break would let an argument begin a line of its own. NUL cannot be in an argument of a process:
/// [`Job::script`](crate::Job::script) refuses it; here it is left out.
///
/// ```
/// use rankine_slurm::quote::quote;
/// assert_eq!(quote("--steps=100"), "--steps=100");
/// assert_eq!(quote("it's $(date)"), r"'it'\''s $(date)'");
/// assert_eq!(quote("a\nb"), r"$'a\012b'");
/// ```
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%^".contains(c);
    // A leading `=` expands in some shells, and a plain first word with `=` is an assignment.
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(char::is_control) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for c in word.chars().filter(|&c| c != '\0') {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    out.push_str(&format!("\\{byte:03o}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The words of a command, quoted and joined. The first is quoted also where it looks like an assignment
/// (`A=1`), which a shell would otherwise not run.
#[must_use]
pub fn command_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (i, word) in words.into_iter().enumerate() {
        let quoted = quote(word);
        if i > 0 {
            out.push(' ');
        }
        if i == 0 && quoted == word && word.contains('=') {
            out.push_str(&format!("'{word}'"));
        } else {
            out.push_str(&quoted);
        }
    }
    out
}
