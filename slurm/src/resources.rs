//! What a job asks of the cluster: ranks, threads, memory, time. Not how it is launched (that is
//! [`script`](crate::script)), and not what a particular cluster can give: Slurm says that.

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a job asks for. In a job file, each field is a key of the same name; what is left out is the
/// cluster's default, except ranks and threads, which are 1.
///
/// ```
/// let wanted: rankine_slurm::Resources = toml::from_str(r#"ranks = 64
/// threads = 4
/// time = "2:00:00"
/// mem_per_cpu = "2G""#)?;
/// wanted.check()?;
/// assert_eq!(wanted.time_limit_seconds()?, Some(7200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Nodes to spread the ranks over; left out, Slurm takes as many as it needs. At most `ranks`.
    pub nodes: Option<u32>,
    /// Processes of the job. Need not be a multiple of `nodes`.
    pub ranks: u32,
    /// CPUs, and threads, of each rank.
    pub threads: u32,
    /// Ranks on each node, at most. Left out, Slurm fills one node after the other.
    pub ranks_per_node: Option<u32>,
    /// Memory for each CPU: a number with K, M, G or T (M if there is no letter).
    pub mem_per_cpu: Option<String>,
    /// Memory on each node, of the same form. Not together with `mem_per_cpu`.
    pub mem_per_node: Option<String>,
    /// Time limit: minutes (`"30"`), `"HH:MM:SS"`, `"D-HH"`, `"D-HH:MM"` or `"D-HH:MM:SS"`.
    pub time: Option<String>,
    /// Partition, or several with commas.
    pub partition: Option<String>,
    /// Account to charge.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Features the nodes must have, in Slurm's notation (`"skylake&ib"`).
    pub constraint: Option<String>,
    /// Whether the nodes are shared with no other job.
    pub exclusive: bool,
    /// The job's name in the queue.
    pub job_name: Option<String>,
    /// File for what the job writes to its terminal; `%j` stands for the job's number. Relative to the folder
    /// it is submitted from (or `chdir`); the folder of the file must exist.
    pub output: Option<String>,
    /// Working directory of the job; left out, the folder it is submitted from.
    pub chdir: Option<String>,
    /// What must happen first, in Slurm's notation (`"afterok:17"`, `"afterany:17:18,singleton"`), or a job's
    /// number, which must then have ended well.
    pub after: Option<String>,
    /// Where Slurm writes to when the job ends, fails or is started again.
    pub mail: Option<String>,
    /// Further options of sbatch as one would write them in a shell (`"--gres=gpu:1 --comment 'two words'"`).
    pub extra: Option<String>,
    /// Whether Slurm may start the job again after a node failed or it was preempted.
    pub requeue: bool,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            nodes: None,
            ranks: 1,
            threads: 1,
            ranks_per_node: None,
            mem_per_cpu: None,
            mem_per_node: None,
            time: None,
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            exclusive: false,
            job_name: None,
            output: None,
            chdir: None,
            after: None,
            mail: None,
            extra: None,
            requeue: false,
        }
    }
}

impl Resources {
    /// Whether a script can be made of this.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first field that is wrong: a zero, a time or memory size that Slurm would
    /// read otherwise than it looks, more nodes than ranks, or a character that could end an `#SBATCH` line early.
    pub fn check(&self) -> Result<(), Error> {
        for (field, value) in [
            ("ranks", Some(self.ranks)),
            ("threads", Some(self.threads)),
            ("nodes", self.nodes),
            ("ranks_per_node", self.ranks_per_node),
        ] {
            if value == Some(0) {
                return Err(invalid(field, "0", "must be at least 1"));
            }
        }
        if let Some(nodes) = self.nodes
            && nodes > self.ranks
        {
            let help = format!("more nodes than ranks ({}); give each node at least one rank", self.ranks);
            return Err(invalid("nodes", &nodes.to_string(), help));
        }
        if let (Some(nodes), Some(each)) = (self.nodes, self.ranks_per_node)
            && u64::from(nodes) * u64::from(each) < u64::from(self.ranks)
        {
            let help = format!(
                "{nodes} nodes of {each} ranks have no room for {} ranks; raise one of them",
                self.ranks
            );
            return Err(invalid("ranks_per_node", &each.to_string(), help));
        }
        if let (Some(per_cpu), Some(_)) = (&self.mem_per_cpu, &self.mem_per_node) {
            return Err(invalid("mem_per_cpu", per_cpu, "excludes mem_per_node; give one of them"));
        }
        for (field, value) in [("mem_per_cpu", &self.mem_per_cpu), ("mem_per_node", &self.mem_per_node)] {
            value.as_deref().map_or(Ok(()), |size| check_memory(field, size))?;
        }
        self.time_limit_seconds()?;
        let lists = [
            ("partition", &self.partition, "_-.,+"),
            ("account", &self.account, "_-.+@"),
            ("qos", &self.qos, "_-.+@"),
            ("constraint", &self.constraint, "_-.,&|*()[]:+=!"),
        ];
        for (field, value, allowed) in lists {
            value.as_deref().map_or(Ok(()), |name| check_name(field, name, allowed))?;
        }
        for (field, value) in [("job_name", &self.job_name), ("output", &self.output), ("chdir", &self.chdir)]
        {
            value.as_deref().map_or(Ok(()), |text| check_text(field, text))?;
        }
        self.dependency()?;
        if let Some(mail) = &self.mail {
            check_name("mail", mail, "_-.+@")?;
        }
        self.extra_lines().map(drop)
    }

    /// The most ranks that one node gets, where that is said: by `ranks_per_node`, or by spreading them evenly.
    #[must_use]
    pub fn most_on_a_node(&self) -> Option<u32> {
        self.ranks_per_node.or_else(|| self.nodes.map(|nodes| self.ranks.div_ceil(nodes.max(1))))
    }

    /// The bytes of `mem_per_cpu` and `mem_per_node`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a size that [`check`](Resources::check) refuses.
    pub fn memory(&self) -> Result<(Option<u64>, Option<u64>), Error> {
        let bytes = |field, size: &Option<String>| {
            let Some(size) = size else { return Ok(None) };
            check_memory(field, size)?;
            let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let shift = match size.as_bytes().last() {
                Some(b'K') => 10,
                Some(b'G') => 30,
                Some(b'T') => 40,
                _ => 20,
            };
            // At most 15 digits.
            let number: u64 = digits.parse().unwrap_or(u64::MAX);
            Ok(Some(number.saturating_mul(1 << shift)))
        };
        Ok((bytes("mem_per_cpu", &self.mem_per_cpu)?, bytes("mem_per_node", &self.mem_per_node)?))
    }

    /// `after` as sbatch takes it.
    pub(crate) fn dependency(&self) -> Result<Option<String>, Error> {
        let Some(after) = self.after.as_deref() else { return Ok(None) };
        const FORMS: &str = "not a dependency; write a job's number, or \"afterok:17\", \"afterany:17:18\", \
                             \"afternotok:17\", \"after:17\", \"aftercorr:17\", \"singleton\", several with commas";
        let number = |word: &str| {
            let (job, rest) = word.split_once(['_', '+']).unwrap_or((word, "0"));
            [job, rest].iter().all(|n| (1..=18).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
        };
        if after.split(':').all(number) {
            return Ok(Some(format!("afterok:{after}")));
        }
        let good = after.split([',', '?']).all(|one| match one.split_once(':') {
            Some((kind, jobs)) => {
                ["after", "afterok", "afterany", "afternotok", "aftercorr"].contains(&kind)
                    && jobs.split(':').all(number)
            }
            None => one == "singleton",
        });
        if good { Ok(Some(after.to_owned())) } else { Err(invalid("after", after, FORMS)) }
    }

    /// `extra` as lines of a script, an option each.
    pub(crate) fn extra_lines(&self) -> Result<Vec<String>, Error> {
        let Some(extra) = self.extra.as_deref() else { return Ok(Vec::new()) };
        let words = shlex::split(extra)
            .ok_or_else(|| invalid("extra", extra, "a quote is open, or a backslash stands at the end"))?;
        if words.is_empty() {
            return Err(invalid("extra", extra, "there is no option in it; leave it out"));
        }
        let mut lines: Vec<String> = Vec::new();
        for word in words {
            let is_option = word.len() > 1 && word.starts_with('-');
            if let Some((name, flag)) = taken(&word) {
                let help = format!("{name} is decided elsewhere in the script; {flag}");
                return Err(invalid("extra", &word, help));
            }
            check_text("extra", &word)?;
            let space = word.contains(char::is_whitespace);
            let word = match word.split_once('=') {
                Some((name, value)) if space && is_option => format!("{name}=\"{value}\""),
                _ if space => format!("\"{word}\""),
                _ => word,
            };
            match lines.last_mut() {
                _ if is_option => lines.push(word),
                Some(line) if !line.contains([' ', '=']) => *line = format!("{line} {word}"),
                _ => {
                    let help = "every option begins with a dash, such as \"--gres=gpu:1\"";
                    return Err(invalid("extra", &word, help));
                }
            }
        }
        Ok(lines)
    }

    /// The time limit in seconds, or `None` where the partition's default applies.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `time` is of another form than those listed there.
    pub fn time_limit_seconds(&self) -> Result<Option<u64>, Error> {
        let Some(time) = self.time.as_deref() else { return Ok(None) };
        let seconds = parse_time(time).map_err(|help| invalid("time", time, help))?;
        if seconds == 0 {
            return Err(invalid("time", time, "to Slurm, zero means no limit; leave it out for the default"));
        }
        Ok(Some(seconds))
    }
}

pub(crate) fn invalid(field: &'static str, value: &str, help: impl Into<String>) -> Error {
    Error::Invalid { field, value: value.to_owned(), help: help.into() }
}

fn parse_time(time: &str) -> Result<u64, &'static str> {
    const FORMS: &str =
        "not a time limit; write minutes (\"30\"), \"HH:MM:SS\", \"D-HH\", \"D-HH:MM\" or \"D-HH:MM:SS\"";
    const LONGEST: u64 = 10_000 * 86_400;
    let number = |digits: &str, below: u64| match digits.parse::<u64>() {
        // `parse` takes a leading plus sign, Slurm does not.
        Ok(n) if n < below && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => Err(FORMS),
    };
    let (days, clock) = match time.split_once('-') {
        Some((days, clock)) => (Some(number(days, 10_000)?), clock),
        None => (None, time),
    };
    let parts: Vec<_> = clock.split(':').collect();
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => number(minutes, LONGEST / 60)? * 60,
        (None, [_, _]) => {
            return Err("ambiguous: Slurm reads it as minutes and seconds; write \"HH:MM:SS\"");
        }
        (None, [hours, m, s]) => number(hours, LONGEST / 3600)? * 3600 + number(m, 60)? * 60 + number(s, 60)?,
        (Some(days), [hours, rest @ ..]) if rest.len() <= 2 => {
            let m = rest.first().map_or(Ok(0), |m| number(m, 60))?;
            let s = rest.get(1).map_or(Ok(0), |s| number(s, 60))?;
            days * 86_400 + number(hours, 24)? * 3600 + m * 60 + s
        }
        _ => return Err(FORMS),
    };
    Ok(seconds)
}

fn check_memory(field: &'static str, size: &str) -> Result<(), Error> {
    let digits = size.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(size);
    let is_number = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(invalid(
            field,
            size,
            "not a size; write a whole number with K, M, G or T, such as \"4G\"",
        ));
    }
    if digits.bytes().all(|b| b == b'0') {
        return Err(invalid(field, size, "to Slurm, zero means all of a node's memory; say how much"));
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str, allowed: &str) -> Result<(), Error> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || allowed.contains(c)) {
        return Ok(());
    }
    Err(invalid(field, name, format!("letters, digits and {allowed} are allowed, and at least one of them")))
}

/// An option of sbatch that the script depends on, and what to use instead.
fn taken(word: &str) -> Option<(&'static str, &'static str)> {
    const TAKEN: [(&str, &str, &str); 12] = [
        ("--ntasks", "-n", "say how many with --ranks"),
        ("--cpus-per-task", "-c", "say how many with --threads"),
        ("--nodes", "-N", "say how many with --nodes"),
        ("--ntasks-per-node", "", "say how many with --ranks-per-node"),
        ("--output", "-o", "choose the file with --job-log"),
        ("--array", "-a", "make one with --sweep"),
        ("--open-mode", "", "the log is appended to"),
        ("--requeue", "", "ask for it with --requeue"),
        ("--no-requeue", "", "leave --requeue out"),
        ("--wrap", "", "the script is the template's"),
        ("--test-only", "", "ask with --check"),
        ("--parsable", "", "it is always given"),
    ];
    let name = word.split('=').next().unwrap_or_default();
    let found = TAKEN.iter().find(|(long, short, _)| {
        name == *long || (!short.is_empty() && word.starts_with(short) && !word.starts_with("--"))
    });
    found.map(|(long, _, help)| (*long, *help))
}

/// Free text for an `#SBATCH` line. Slurm's reader knows both quotes, the backslash and `#`; none is worth
/// depending on across its versions, so only spaces are quoted.
fn check_text(field: &'static str, text: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_control() || "\"'\\#`$\u{2028}\u{2029}".contains(c);
    if text.trim() == text && !text.is_empty() && text.len() <= 1000 && !text.contains(bad) {
        return Ok(());
    }
    let help = "must not be empty or begin or end with a space, nor hold quotes, backslashes, #, $, ` or control characters";
    Err(invalid(field, text, help))
}
