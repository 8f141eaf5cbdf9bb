//! Whether what was reported of a program is what it comes to: the right ranks, in the calls that they are in.

use super::model::{End, Failure, Halt, Outcome};
use super::{Expected, Observed};
use crate::error::{Error, ErrorKind};

/// What there is to say of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ended well, as it may.
    Finished,
    /// It was reported, as it had to be or may be, and the report names the right ranks and calls.
    Named,
    /// It was reported, but not rightly; why.
    Misnamed(String),
    /// It had to end well and was reported.
    False(String),
    /// It waited for ever and nobody said so.
    Missed,
    /// It had to break and ended well: the model is wrong, or an engine.
    Astonishing,
}

pub(super) fn judge(
    expected: Expected,
    members: &[Vec<usize>],
    outcomes: &[Outcome],
    observed: &Observed,
) -> Verdict {
    match (observed, expected) {
        (Observed::Hung, _) => Verdict::Missed,
        (Observed::Finished, Expected::Breaks) => Verdict::Astonishing,
        (Observed::Finished, _) => Verdict::Finished,
        (Observed::Failed(error), Expected::Finishes) => Verdict::False(error.to_string()),
        (Observed::Failed(error), _) => {
            let mut why = String::new();
            let right = |outcome: &&Outcome| match says(error, members, outcome) {
                Ok(()) => true,
                Err(wrong) => {
                    why = wrong;
                    false
                }
            };
            match outcomes.iter().filter(|outcome| !outcome.is_well()).find(right) {
                Some(_) => Verdict::Named,
                None => Verdict::Misnamed(format!("{why}\n{error}")),
            }
        }
    }
}

/// Whether an error is true of one outcome.
fn says(error: &Error, members: &[Vec<usize>], outcome: &Outcome) -> Result<(), String> {
    let what = error.what();
    if !what.contains("(proved: ") {
        let failure = match error.kind() {
            ErrorKind::Truncated => Failure::Truncated,
            ErrorKind::Mismatch => Failure::Mismatch,
            kind => return Err(format!("an error of kind {kind:?}")),
        };
        // Errors of calls number ranks as the communicator does.
        let rank = error.rank().unwrap_or(usize::MAX);
        let failed =
            |rank: &usize| matches!(&outcome.ends[*rank], End::Failed(known, _) if *known == failure);
        return match members.iter().filter_map(|members| members.get(rank)).any(failed) {
            true => Ok(()),
            false => Err(format!("{failure:?} on rank {rank}, where it is not: {:?}", outcome.ends)),
        };
    }
    let (mut core, mut all) = (Vec::new(), Vec::new());
    for line in what.lines().skip(1) {
        if let Some(groups) = line.strip_prefix("  also waiting because of them: ") {
            for (ranks, call) in groups.split("; ").filter_map(|group| group.split_once(" in ")) {
                all.extend(numbers(ranks).into_iter().map(|rank| (rank, call)));
            }
        } else if let Some((rank, call)) = line.strip_prefix("  rank ").and_then(|rest| rest.split_once(' '))
            && let Ok(rank) = rank.parse::<usize>()
        {
            core.push(rank);
            all.push((rank, call));
        }
    }
    if core.is_empty() {
        return Err("no ranks".to_string());
    }
    for (rank, call) in all {
        match outcome.ends.get(rank) {
            Some(End::Stuck(halt) | End::Failed(_, halt)) => agrees(rank, call, halt)?,
            other => return Err(format!("rank {rank} is {other:?}")),
        }
    }
    if error.kind() == ErrorKind::Mismatch { Ok(()) } else { closed(&core, outcome) }
}

fn agrees(rank: usize, said: &str, halt: &Halt) -> Result<(), String> {
    let waits = halt.call == "wait";
    let there = |word: &String| {
        word == "collective" || said.contains(&format!("{word} ")) || said.contains(&format!("{word},"))
    };
    let words = match halt.call {
        "wait" | "sendrecv" => halt.words.iter().any(there),
        _ => halt.words.iter().all(there),
    };
    match said.trim_start().starts_with(halt.call) && (words || (waits && halt.words.is_empty())) {
        true => Ok(()),
        false => Err(format!("rank {rank}: {said:?} is said where {halt:?} is")),
    }
}

/// Whether none of these ranks could go on even if all others did everything that they can.
fn closed(core: &[usize], outcome: &Outcome) -> Result<(), String> {
    let dead = |rank: &usize| core.contains(rank) || !matches!(outcome.ends[*rank], End::Stuck(_));
    for &rank in core {
        let (End::Stuck(halt) | End::Failed(_, halt)) = &outcome.ends[rank] else { continue };
        let stays = if halt.any { halt.whom.iter().all(dead) } else { halt.whom.iter().any(dead) };
        // What nobody can do, nobody will.
        if !stays && !halt.whom.is_empty() {
            return Err(format!("rank {rank} is at the core, but waits for {:?} only", halt.whom));
        }
    }
    Ok(())
}

/// The ranks of `ranks 0-3 and 7`.
fn numbers(said: &str) -> Vec<usize> {
    let runs = said.split(|c: char| !c.is_ascii_digit() && c != '-');
    runs.filter_map(|run| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        Some(first.parse().ok()?..=last.parse().ok()?)
    })
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn ranks_are_read_back() {
        assert_eq!(numbers("rank 3"), [3]);
        assert_eq!(numbers("ranks 0-3 and 7"), [0, 1, 2, 3, 7]);
        assert_eq!(numbers("ranks 1, 3 and 5"), [1, 3, 5]);
    }
}
