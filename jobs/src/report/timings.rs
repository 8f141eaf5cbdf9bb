//! What `timings.json` says, in tables and drawings: time by phase and by rank, who sent how much to whom, memory, and the use
//! of the allocation. A part that is not there is left out.

use super::html::{pairs, paragraph, table};
use super::plot;
use crate::runs::Seen;
use rankine::run::{duration, scaled};
use serde_json::Value;

/// Rows and cells that a drawing has at most: more ranks than that are drawn in groups.
const GROUPS: usize = 64;

pub(super) const PHASES: [&str; 7] =
    ["setup", "compute", "constructing", "sending", "waiting", "output", "verification"];

pub(super) fn phases(timings: &Value) -> String {
    let seconds = &timings["seconds"];
    let rows: Vec<Vec<String>> = PHASES
        .iter()
        .filter_map(|phase| {
            let part = |key: &str| seconds[phase][key].as_f64();
            let total = seconds["total"].as_f64().filter(|&total| total > 0.0)?;
            let mean = part("mean")?;
            let share = format!("{:.1}%", 100.0 * mean / total);
            Some(vec![
                phase.to_string(),
                duration(part("min")?),
                duration(mean),
                duration(part("max")?),
                share,
            ])
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["phase", "least", "mean", "most", "of the whole"], &rows)
        + &paragraph(
            "Over the ranks. Constructing, sending and waiting are communication: putting messages together, calls that send or start something, calls that receive, wait or need other ranks.",
        )
}

/// A list of numbers by rank.
fn list(timings: &Value, phase: &str) -> Vec<f64> {
    let values = timings["by_rank"][phase].as_array().into_iter().flatten();
    values.map(|value| value.as_f64().unwrap_or(0.0)).collect()
}

/// Which ranks are drawn together, and what they are called.
fn groups(ranks: usize) -> Vec<(String, std::ops::Range<usize>)> {
    let each = ranks.div_ceil(GROUPS).max(1);
    (0..ranks)
        .step_by(each)
        .map(|first| {
            let end = (first + each).min(ranks);
            let name = if end - first == 1 { format!("{first}") } else { format!("{first}-{}", end - 1) };
            (name, first..end)
        })
        .collect()
}

pub(super) fn by_rank(timings: &Value) -> String {
    let lists: Vec<Vec<f64>> = PHASES.iter().map(|phase| list(timings, phase)).collect();
    let ranks = lists[0].len();
    if ranks == 0 || lists.iter().any(|list| list.len() != ranks) {
        return String::new();
    }
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let rows: Vec<(String, Vec<f64>)> = groups(ranks)
        .into_iter()
        .map(|(name, range)| (name, lists.iter().map(|list| mean(&list[range.clone()])).collect()))
        .collect();
    let drawn = plot::bars("seconds of each rank by phase", "s", &PHASES, &rows);
    let compute = &lists[1];
    let (average, slowest) =
        (mean(compute), (0..ranks).fold(0, |most, i| if compute[i] > compute[most] { i } else { most }));
    let balance = if average > 0.0 && ranks > 1 {
        let over = compute[slowest] / average;
        paragraph(&format!(
            "Load balance: rank {slowest} computes longest, {} against {} on average; {:.0}% of the computing time of all ranks \
             would do if it were spread evenly over them (imbalance {:.2}).",
            duration(compute[slowest]),
            duration(average),
            100.0 / over,
            over
        ))
    } else {
        String::new()
    };
    let note = if rows.len() < ranks {
        paragraph("Ranks are drawn in groups, by their mean.")
    } else {
        String::new()
    };
    balance + &drawn + &note
}

pub(super) fn communication(timings: &Value) -> String {
    let traffic = &timings["traffic"];
    let count = |key: &str| traffic[key].as_u64();
    let (Some(messages), Some(collectives), Some(bytes)) =
        (count("messages"), count("collectives"), count("bytes"))
    else {
        return String::new();
    };
    let mut page = paragraph(&format!(
        "In the time loop all ranks sent {messages} messages and entered collective calls {collectives} times, with {}B in both.",
        scaled(bytes as f64)
    ));
    let ranks = timings["ranks"].as_u64().unwrap_or(0) as usize;
    let Some(sent) = timings["sent"].as_array() else {
        return page
            + &paragraph("Who sent how much to whom was not counted: the run was not watched (--no-watch).");
    };
    let entry = |entry: &Value| -> Option<(usize, Option<usize>, f64, f64)> {
        let number = |i: usize| entry[i].as_i64();
        Some((number(0)? as usize, usize::try_from(number(1)?).ok(), number(2)? as f64, number(3)? as f64))
    };
    let sent: Vec<_> = sent
        .iter()
        .filter_map(entry)
        .filter(|&(from, to, ..)| from < ranks && to.is_none_or(|to| to < ranks))
        .collect();
    if ranks < 2 || sent.is_empty() {
        return page;
    }
    let groups = groups(ranks);
    let each = groups[0].1.len();
    let mut sums = vec![(0.0, 0.0); groups.len() * groups.len()];
    let mut rest = 0.0;
    for &(from, to, messages, bytes) in &sent {
        match to {
            Some(to) => {
                let cell = &mut sums[from / each * groups.len() + to / each];
                *cell = (cell.0 + messages, cell.1 + bytes);
            }
            None => rest += bytes,
        }
    }
    let cell = |row: usize, column: usize| sums[row * groups.len() + column];
    // Messages without bytes are drawn, too, as those of one.
    let shade = |row: usize, column: usize| match cell(row, column) {
        (messages, bytes) if messages > 0.0 => bytes.max(1.0),
        _ => 0.0,
    };
    let tip = |row: usize, column: usize| {
        let (messages, bytes) = cell(row, column);
        format!("{} to {}: {messages} messages, {}B", groups[row].0, groups[column].0, scaled(bytes))
    };
    let axes = if each > 1 { ["from group", "to group"] } else { ["from rank", "to rank"] };
    page += &plot::matrix("bytes sent from rank to rank", axes, groups.len(), shade, tip);
    page += &paragraph(
        "Bytes that each rank sent to each other in messages, from the start of the job to its end, the framework's own included; darker is more, by the logarithm. Collective calls are not in it.",
    );
    if each > 1 {
        page += &paragraph(&format!("Ranks are drawn in groups of {each}."));
    }
    if rest > 0.0 {
        page += &paragraph(&format!(
            "To further ranks, which are not listed one by one, went {}B.",
            scaled(rest)
        ));
    }
    let mut most: Vec<_> = sent.iter().filter(|entry| entry.1.is_some()).collect();
    most.sort_by(|a, b| b.3.total_cmp(&a.3));
    let rows: Vec<Vec<String>> = most
        .iter()
        .take(8)
        .map(|(from, to, messages, bytes)| {
            let to = to.map(|to| to.to_string()).unwrap_or_default();
            vec![format!("{from} to {to}"), messages.to_string(), format!("{}B", scaled(*bytes))]
        })
        .collect();
    page + &table(&["most", "messages", "bytes"], &rows)
}

pub(super) fn memory(timings: &Value) -> String {
    let mut rows = Vec::new();
    if let Some(all) = timings["peak_memory"].as_u64() {
        rows.push(("most that all processes held".to_string(), format!("{}B", scaled(all as f64))));
    }
    let memory = timings["by_rank"]["memory"].as_array();
    let of: Vec<(usize, f64)> = memory
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(rank, value)| Some((rank, value.as_f64()?)))
        .collect();
    let mut drawn = String::new();
    if of.len() > 1 {
        let most = of.iter().fold(of[0], |most, &this| if this.1 > most.1 { this } else { most });
        let mean = of.iter().map(|(_, bytes)| bytes).sum::<f64>() / of.len() as f64;
        rows.push(("of a rank on average".to_string(), format!("{}B", scaled(mean))));
        rows.push((format!("of rank {}, the most", most.0), format!("{}B", scaled(most.1))));
        let of_rank =
            |rank: usize| of.iter().find(|(this, _)| *this == rank).map_or(0.0, |(_, bytes)| *bytes);
        let ranks = of.last().map_or(0, |(rank, _)| rank + 1);
        let bars: Vec<(String, Vec<f64>)> = groups(ranks)
            .into_iter()
            .map(|(name, range)| {
                let n = range.len() as f64;
                (name, vec![range.map(of_rank).sum::<f64>() / n / 1e6])
            })
            .collect();
        drawn = plot::bars("memory of each rank", "MB", &["memory"], &bars);
    }
    pairs(&rows) + &drawn
}

/// As `seff` has it: processor time used, of the cores that the job had for so long.
pub(super) fn allocation(timings: &Value, seen: &Seen) -> String {
    let had = &timings["allocation"];
    let (Some(cores), Some(wall), Some(cpu)) =
        (had["cores"].as_u64(), had["wall"].as_f64(), had["cpu"].as_f64())
    else {
        return String::new();
    };
    let whole = cores as f64 * wall;
    let by = if had["slurm"] == true { "Slurm's allocation" } else { "ranks times threads" };
    let mut rows = vec![
        ("cores".to_string(), format!("{cores} ({by})")),
        ("wall time".to_string(), duration(wall)),
        ("cores times wall time".to_string(), duration(whole)),
        ("processor time used".to_string(), duration(cpu)),
    ];
    if whole > 0.0 {
        rows.push(("processor efficiency".to_string(), format!("{:.1}%", 100.0 * cpu / whole)));
    }
    let mean = |phase: &str| timings["seconds"][phase]["mean"].as_f64();
    if let (Some(compute), Some(ranks)) = (mean("compute"), timings["ranks"].as_u64()) {
        let threads = timings["threads"].as_u64().unwrap_or(1);
        if whole > 0.0 {
            let share = 100.0 * compute * (ranks * threads) as f64 / whole;
            rows.push(("of it in the time loop, computing".to_string(), format!("{share:.1}%")));
        }
    }
    if let Some(job) = &seen.job {
        rows.push(("Slurm's job".to_string(), format!("{job} {}", seen.slurm.as_deref().unwrap_or(""))));
    }
    pairs(&rows)
        + &paragraph(
            "Ranks that wait for messages look for them all the time, which counts as processor time here and in Slurm's accounts; of the last job of the run.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ranks_are_drawn_in_groups() {
        let all = groups(1000);
        assert!(all.len() <= GROUPS && all[0] == ("0-15".to_string(), 0..16), "{all:?}");
        assert_eq!(all.last().unwrap().1.end, 1000);
        assert_eq!(groups(3)[2], ("2".to_string(), 2..3));
        assert_eq!(groups(65).iter().map(|(_, range)| range.len()).sum::<usize>(), 65);
    }
}
