//! The frame of a batch script: text of a site's own with places for what a job needs. It knows the names of the
//! places and finds them; what stands there is [`script`](crate::script)'s business.

use crate::Error;

/// The built-in frame.
pub const DEFAULT: &str = "\
#!/bin/bash
{{directives}}

set -uo pipefail
{{environment}}

{{launch}}
{{requeue}}
exit \"$code\"
";

/// Places of a template, and what they stand for.
pub const PLACES: [(&str, &str); 10] = [
    ("directives", "all lines #SBATCH"),
    ("environment", "variables for the ranks: threads, and what the launcher needs"),
    ("launch", "the lines that start the ranks and leave their exit code in $code"),
    ("requeue", "with --requeue, the lines that give the job back to Slurm; otherwise nothing"),
    ("job_name", "the job's name"),
    ("nodes", "nodes that were asked for, or nothing"),
    ("ranks", "the number of ranks"),
    ("threads", "threads of each rank"),
    ("run", "the run's directory; of a sweep, the folder of its runs"),
    ("program", "the program, without its arguments"),
];

/// A template that is known to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

impl Default for Template {
    fn default() -> Self {
        Template { text: DEFAULT.to_owned() }
    }
}

impl Template {
    /// Checks a template; `name` is the file's, for errors.
    ///
    /// # Errors
    /// [`Error::Template`] with the line of a place that is not known, or without one if it starts with no `#!`, or
    /// lacks `{{directives}}` or `{{launch}}`.
    pub fn new(name: &str, text: impl Into<String>) -> Result<Template, Error> {
        let text = text.into();
        let wrong = |line: usize, what: String, help: String| Error::Template {
            place: if line == 0 { name.to_owned() } else { format!("{name}:{line}") },
            what,
            help,
        };
        if !text.starts_with("#!") {
            return Err(wrong(
                1,
                "a batch script begins with #! and an interpreter".into(),
                "begin with #!/bin/bash".into(),
            ));
        }
        for (number, line) in text.lines().enumerate() {
            for place in places(line) {
                if !PLACES.iter().any(|(name, _)| *name == place) {
                    let known = PLACES.map(|(name, _)| name).join(", ");
                    return Err(wrong(
                        number + 1,
                        format!("{{{{{place}}}}} stands for nothing"),
                        format!("known are: {known}"),
                    ));
                }
            }
        }
        for needed in ["directives", "launch"] {
            if !text.lines().any(|line| places(line).any(|place| place == needed)) {
                let help = format!("put {{{{{needed}}}}} on a line of its own");
                return Err(wrong(0, format!("there is no {{{{{needed}}}}} in it"), help));
            }
        }
        Ok(Template { text })
    }

    /// Whether the place `name` is in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.text.lines().any(|line| places(line).any(|place| place == name))
    }

    /// The script: `value` says what stands at a place. A line that holds nothing but a place without a value is
    /// left out.
    pub(crate) fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for line in self.text.lines() {
            let mut rest = line;
            let mut filled = String::new();
            for place in places(line) {
                let mark = format!("{{{{{place}}}}}");
                let (before, after) = rest.split_once(&mark).unwrap_or((rest, ""));
                filled.push_str(before);
                filled.push_str(value(place).trim_end_matches('\n'));
                rest = after;
            }
            filled.push_str(rest);
            if filled.trim().is_empty() && !line.trim().is_empty() {
                continue;
            }
            out.push_str(&filled);
            out.push('\n');
        }
        out
    }
}

/// The names between double braces in a line. Braces around anything but a name belong to the shell.
fn places(line: &str) -> impl Iterator<Item = &str> {
    line.split("{{").skip(1).filter_map(|part| {
        let (name, _) = part.split_once("}}")?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
        is_name.then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_the_shells_braces_stay() {
        let text = "#!/bin/bash\n{{directives}}\necho ${a:-{{ranks}}} {{{ awk '{{print $1}}'\n  {{requeue}}\n\n{{launch}} # {{ranks}}x{{threads}}\n";
        let template = Template::new("t", text).unwrap();
        let filled =
            template.fill(|place| if place == "requeue" { String::new() } else { format!("<{place}>\n") });
        assert_eq!(
            filled,
            "#!/bin/bash\n<directives>\necho ${a:-<ranks>} {{{ awk '{{print $1}}'\n\n<launch> # <ranks>x<threads>\n"
        );
        assert!(template.has("requeue") && !template.has("run"));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, says) in [
            ("#!/bin/bash\n{{directives}}\n{{lunch}}\n", "site.sh:3: {{lunch}} stands for nothing"),
            ("#!/bin/bash\n{{launch}}\n", "site.sh: there is no {{directives}}"),
            ("#!/bin/bash\n{{directives}}\n", "site.sh: there is no {{launch}}"),
            ("{{directives}}\n{{launch}}\n", "site.sh:1: a batch script begins with #!"),
            ("", "site.sh:1"),
        ] {
            let error = Template::new("site.sh", text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
        assert_eq!(Template::new("x", DEFAULT).unwrap(), Template::default());
    }

    #[test]
    fn every_place_is_explained_once() {
        let mut names = PLACES.map(|(name, _)| name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PLACES.len());
    }
}
