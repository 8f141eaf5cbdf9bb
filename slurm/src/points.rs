//! The points of a sweep as jobs of one array: their words and where each has its run. Which points there are is the
//! caller's business.

use std::fmt::Write as _;

use crate::Error;
use crate::quote::{command_line, quote};
use crate::resources::invalid;

/// The most points that one array may have; a cluster may allow fewer (MaxArraySize).
pub const MOST: usize = 10_000;

/// The points of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// The folder of their runs: each has a folder in it, of its number in four digits.
    pub folder: String,
    /// The words of each point.
    pub words: Vec<Vec<String>>,
    /// How many may run at once; `None` is as many as Slurm likes.
    pub at_once: Option<u32>,
    /// The program's flag for a run's directory (`--out`, `--resume`), and words after it.
    pub into: String,
}

impl Points {
    /// The folder's name of a point.
    #[must_use]
    pub fn name(number: usize) -> String {
        format!("{number:04}")
    }

    /// What `--output` says for [`name`](Points::name).
    pub const NAME_OF_ARRAY: &str = "%4a";

    /// Slurm's words for all of them.
    pub(crate) fn array(&self) -> String {
        let at_once = self.at_once.map(|n| format!("%{n}")).unwrap_or_default();
        format!("0-{}{at_once}", self.words.len().saturating_sub(1))
    }

    /// The lines that find this job's point.
    pub(crate) fn lines(&self, mpirun: bool) -> Result<String, Error> {
        if self.words.is_empty() || self.words.len() > MOST {
            let help = format!("a sweep has 1 to {MOST} points");
            return Err(invalid("sweep", &self.words.len().to_string(), help));
        }
        let mut out = String::from(
            "# The point of the sweep that this job of the array is.\ncase $SLURM_ARRAY_TASK_ID in\n",
        );
        for (number, words) in self.words.iter().enumerate() {
            if let Some(word) = words.iter().find(|word| word.contains('\0') || (mpirun && *word == ":")) {
                return Err(invalid("sweep", word, "no argument of a program under this launcher"));
            }
            // Behind an option's name nothing looks like an assignment.
            let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
            let _ = writeln!(out, "  {number}) point=({}) ;;", words.join(" "));
        }
        let folder = command_line([self.folder.as_str()]);
        let _ =
            writeln!(out, "  *) echo \"the sweep has no point $SLURM_ARRAY_TASK_ID\" >&2; exit 2 ;;\nesac");
        let _ = writeln!(out, "run={folder}/$(printf %04d \"$SLURM_ARRAY_TASK_ID\")");
        Ok(out)
    }

    /// What follows the program's own words.
    pub(crate) fn words(&self) -> &str {
        match self.into.as_str() {
            "--resume" => " \"${point[@]}\" --resume \"$run\"",
            _ => " \"${point[@]}\" --out \"$run\" --overwrite",
        }
    }
}
