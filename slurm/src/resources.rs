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
    /// it is submitted from; the folder of the file must exist.
    pub output: Option<String>,
    /// Whether Slurm may start the job again after a node failed or it was preempted.
    pub requeue: bool,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            nodes: None,
            ranks: 1,
            threads: 1,
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
        for (field, value) in
            [("ranks", Some(self.ranks)), ("threads", Some(self.threads)), ("nodes", self.nodes)]
        {
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
        for (field, value) in [("job_name", &self.job_name), ("output", &self.output)] {
            value.as_deref().map_or(Ok(()), |text| check_text(field, text))?;
        }
        Ok(())
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
