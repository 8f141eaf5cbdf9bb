//! `rankine compare KERNEL`: when are messages worth it? The same kernel as ranks that send messages, as threads in one address space, and
//! as both, side by side, over a sweep of sizes: measured, tabulated, drawn, and said in a sentence.

use crate::cli;
use crate::compare_runs::compare_runs;
use crate::forms::{self, Form, Measured};
use crate::limits::Limits;
use rankine::output::plot::Plot;
use rankine::run::show;
use rankine::{Error, Result};
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;

/// How it is compared.
#[derive(Clone, Debug, clap::Args)]
pub struct Compare {
    /// The kernel; or a run
    #[arg(value_name = "KERNEL|RUN")]
    kernel: String,
    /// The run to compare that one with
    #[arg(value_name = "RUN")]
    with: Option<String>,
    /// Ranks, or threads, or both together [default: the cores, at least 2]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How often every form has its turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    turns: usize,
    /// Sizes of a sweep, for the flags with commas between them: m,n=250,500,1000 [default: by kernel]
    #[arg(long, value_name = "FLAG=N,…")]
    sweep: Option<String>,
    /// Seconds that one run is to take, about
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3)]
    seconds: f64,
    /// Where compare.json and compare.png go [default: nowhere]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// More flags of the kernel, the same for all runs
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

/// What is swept where nothing is asked for: the flags of a kernel's size, and values from a cache's to the memory's.
const SWEEPS: [(&str, &str); 13] = [
    ("heat3d", "cells=16,32,64,128,192"),
    ("stencil", "size=100,250,500,1000,2000,4000"),
    ("transpose", "order=128,256,512,1024,2048,4096"),
    ("dgemm", "order=64,128,256,512,1024,2048"),
    ("nstream", "length=10000,100000,1000000,10000000,40000000"),
    ("p2p", "m,n=125,250,500,1000,2000,4000"),
    ("reduce", "length=1000,10000,100000,1000000,4000000"),
    ("sparse", "log2-size=6,7,8,9,10"),
    ("pic", "particles=1000,10000,100000,1000000"),
    ("random", "log2-size=12,14,16,18,20,22"),
    ("amr", "size=250,500,1000,2000"),
    ("branch", "length=100,1000,10000,100000"),
    ("sync_global", "length=16,128,1024,8192,65536"),
];

/// Flags that say how long a kernel runs.
const ITERATIONS: [&str; 2] = ["iterations", "steps"];

/// One form at one size: the run with the median rate.
#[derive(Clone, Debug, Serialize)]
struct Of {
    form: Form,
    run: Measured,
    share: Option<(f64, &'static str)>,
}

/// All forms at one size.
#[derive(Clone, Debug, Serialize)]
struct Size {
    size: u64,
    forms: Vec<Of>,
}

/// Does it.
///
/// # Errors
/// A kernel or flag that cannot be; a run that fails or does not verify; a folder that cannot be written.
pub fn compare(wanted: &Compare) -> Result<()> {
    if let Some(with) = &wanted.with {
        return compare_runs(wanted.kernel.as_ref(), with.as_ref(), wanted.json);
    }
    forms::alone("rankine compare")?;
    let entry = cli::find(&wanted.kernel)?;
    let workers = wanted.workers.unwrap_or(forms::cores().max(2));
    if !(2..=1024).contains(&workers) {
        return Err(Error::usage(format!("--workers {workers}"))
            .help("give 2 to 1024: one alone has nobody to talk to"));
    }
    if wanted.turns == 0 || wanted.turns > 1000 {
        return Err(Error::usage(format!("--turns {}", wanted.turns)).help("give 1 to 1000"));
    }
    if !(0.001..=1000.0).contains(&wanted.seconds) {
        return Err(Error::usage(format!("--seconds {}", wanted.seconds)).help("give 0.001 to 1000"));
    }
    let (flags, sizes) = sweep(wanted)?;
    let known: Vec<String> = entry
        .parameters()
        .iter()
        .map(|parameter| parameter.flag.split(' ').next().unwrap_or_default().to_string())
        .collect();
    if let Some(flag) = flags.iter().find(|flag| !known.contains(&format!("--{flag}"))) {
        return Err(Error::usage(format!("--sweep {flag}: {} has no such flag", entry.name))
            .help(format!("it has {}", known.join(" "))));
    }
    let iterations = ITERATIONS.into_iter().find(|flag| known.contains(&format!("--{flag}")));
    let forms = all_forms(workers);
    let limits = Limits::of(workers.min(forms::cores()))?;
    let mut measured = Vec::new();
    for &size in &sizes {
        let value = size.to_string();
        let mut words: Vec<String> =
            flags.iter().flat_map(|flag| [format!("--{flag}"), value.clone()]).collect();
        words.extend(wanted.flags.iter().cloned());
        let forms = at_one_size(wanted, &words, iterations, &forms, &limits)?;
        let size = Size { size, forms };
        if !wanted.json {
            show(&table(&flags, &size));
        }
        measured.push(size);
    }
    let verdict = verdict(&flags.join(" and "), &measured);
    if let Some(folder) = &wanted.out {
        write(folder, wanted, &flags, &measured, &limits, &verdict)?;
    }
    if wanted.json {
        show(&(report(wanted, &flags, &measured, &limits, &verdict).to_string() + "\n"));
    } else {
        show(&format!("{verdict}\n"));
    }
    Ok(())
}

/// The flags that are swept together and their values.
fn sweep(wanted: &Compare) -> Result<(Vec<String>, Vec<u64>)> {
    let by_kernel = SWEEPS.iter().find(|(kernel, _)| *kernel == wanted.kernel).map(|(_, sweep)| *sweep);
    let Some(text) = wanted.sweep.as_deref().or(by_kernel) else {
        return Err(Error::usage(format!("rankine compare {}: which sizes?", wanted.kernel))
            .help("give a flag of the kernel and values: --sweep size=100,1000"));
    };
    let wrong = || {
        Error::usage(format!("--sweep {text}"))
            .help("write flags, =, and whole numbers that rise: size=100,200,400")
    };
    let (flags, values) = text.split_once('=').ok_or_else(wrong)?;
    let flags: Vec<String> =
        flags.split(',').map(|flag| flag.trim().trim_start_matches("--").to_string()).collect();
    let values = values.split(',').map(|value| value.trim().parse::<u64>()).collect::<Result<Vec<_>, _>>();
    let values = values.map_err(|_| wrong())?;
    let rise = values.windows(2).all(|two| two[0] < two[1]);
    if flags.iter().any(String::is_empty) || values.is_empty() || !rise || values[0] == 0 {
        return Err(wrong());
    }
    Ok((flags, values))
}

/// Messages on both engines, one address space, and half of each.
fn all_forms(workers: usize) -> Vec<Form> {
    let both = (workers / 2).max(2);
    let mut forms =
        vec![Form::local(workers, 1), Form::mpi(workers, 1), Form::local(1, workers), Form::local(both, 2)];
    forms.retain(|form| form.engine == forms::Engine::Local || forms::has_mpi());
    forms
}

fn at_one_size(
    wanted: &Compare,
    words: &[String],
    iterations: Option<&str>,
    forms: &[Form],
    limits: &Limits,
) -> Result<Vec<Of>> {
    let with = |count: u64| {
        let count = iterations.map(|flag| [format!("--{flag}"), count.to_string()]);
        words.iter().cloned().chain(count.into_iter().flatten()).collect::<Vec<String>>()
    };
    // As many iterations as take the time that was asked for, found with few and once more with more.
    let mut count = 20;
    if iterations.is_some() {
        for _ in 0..2 {
            let run = forms[0].run(&wanted.kernel, &with(count))?;
            let each = (run.seconds / count as f64).max(1e-9);
            count = ((wanted.seconds / each) as u64).clamp(2, 2_000_000) / 2 * 2;
        }
    }
    let words = with(count);
    let mut runs: Vec<Vec<Measured>> = forms.iter().map(|_| Vec::new()).collect();
    for _ in 0..wanted.turns {
        for (form, runs) in forms.iter().zip(&mut runs) {
            runs.push(form.run(&wanted.kernel, &words)?);
        }
    }
    let middle = |mut runs: Vec<Measured>| {
        runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        runs.swap_remove(runs.len() / 2)
    };
    let of = |(&form, runs): (&Form, Vec<Measured>)| {
        let run = middle(runs);
        Of { form, share: limits.share(run.bytes_per_second, run.flops_per_second), run }
    };
    Ok(forms.iter().zip(runs).map(of).collect())
}

fn best(size: &Size) -> &Of {
    let first = &size.forms[0];
    size.forms.iter().fold(first, |best, of| if of.run.rate > best.run.rate { of } else { best })
}

/// A part of a run's time, in percent.
fn percent(of: &Measured, seconds: f64) -> f64 {
    if of.seconds > 0.0 { 100.0 * seconds / of.seconds } else { 0.0 }
}

fn table(flags: &[String], size: &Size) -> String {
    let unit = &size.forms[0].run.unit;
    let mut text = format!(
        "{} {}\n  {:30} {:>12} {:>14} {:>9} {:>11} {:>11} {:>7} {:>7} {:>7} {:>12}\n",
        flags.join(" and "),
        size.size,
        "",
        "step",
        unit,
        "memory",
        "messages",
        "sent",
        "constr.",
        "sending",
        "waiting",
        "of the limit"
    );
    for of in &size.forms {
        let run = &of.run;
        let crowd = if of.form.workers() > forms::cores() { " (crowded)" } else { "" };
        text += &format!(
            "  {:30} {:>12} {:14.3} {:>9} {:>11} {:>11} {:>6.1}% {:>6.1}% {:>6.1}% {:>12}{}\n",
            format!("{}{crowd}", of.form),
            seconds(run.step),
            run.rate,
            run.memory.map_or("?".to_string(), |bytes| scaled(bytes as f64, "B")),
            run.messages + run.collectives,
            scaled(run.bytes as f64, "B"),
            percent(run, run.constructing),
            percent(run, run.sending),
            percent(run, run.waiting),
            of.share.map_or("?".to_string(), |(share, what)| format!("{:.0}% {what}", 100.0 * share)),
            if std::ptr::eq(of, best(size)) { "  <" } else { "" },
        );
    }
    text
}

/// A time of a step, or of a run.
pub fn seconds(time: f64) -> String {
    match time {
        t if t < 1e-3 => format!("{:.2} us", t * 1e6),
        t if t < 1.0 => format!("{:.2} ms", t * 1e3),
        t => format!("{t:.2} s"),
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let prefixes = ["", "k", "M", "G", "T"];
    let (mut value, mut at) = (value, 0);
    while value >= 999.5 && at + 1 < prefixes.len() {
        value /= 1000.0;
        at += 1;
    }
    if at == 0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {}{unit}", prefixes[at]) }
}

/// The kinds of form that people ask about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Messages,
    Threads,
    Both,
}

impl Kind {
    fn of(form: &Form) -> Kind {
        match (form.ranks, form.threads) {
            (1, _) => Kind::Threads,
            (_, 1) => Kind::Messages,
            _ => Kind::Both,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Messages => "ranks that send messages",
            Kind::Threads => "threads in one address space",
            Kind::Both => "ranks with threads",
        }
    }
}

/// The best form of a kind at a size.
fn of_kind(size: &Size, kind: Kind) -> Option<&Of> {
    size.forms.iter().filter(|of| Kind::of(&of.form) == kind).max_by(|a, b| a.run.rate.total_cmp(&b.run.rate))
}

/// Forms within this of each other are said to be level.
const LEVEL: f64 = 1.03;

/// Which wins here, from which size on, and why: the sizes are grouped by their winner.
fn verdict(name: &str, sizes: &[Size]) -> String {
    let winner = |size: &Size| {
        let best = best(size);
        let level = [Kind::Messages, Kind::Threads]
            .iter()
            .all(|&kind| of_kind(size, kind).is_some_and(|of| of.run.rate * LEVEL >= best.run.rate));
        (!level).then(|| Kind::of(&best.form))
    };
    let mut said = Vec::new();
    for group in sizes.chunk_by(|a, b| winner(a) == winner(b)) {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let range = match (said.is_empty(), group.len() == sizes.len()) {
            (_, true) => "At all sizes".to_string(),
            (true, _) => format!("Up to {name} {}", last.size),
            (false, _) => format!("from {name} {} on", first.size),
        };
        let Some(kind) = winner(first) else {
            said.push(format!("{range} messages and threads are level, since {}", why_level(last)));
            continue;
        };
        let against = if kind == Kind::Threads { Kind::Messages } else { Kind::Threads };
        let gain = |size: &Size| {
            let (won, lost) = (of_kind(size, kind)?, of_kind(size, against)?);
            Some(won.run.rate / lost.run.rate)
        };
        let most = group
            .iter()
            .max_by(|a, b| gain(a).unwrap_or(0.0).total_cmp(&gain(b).unwrap_or(0.0)))
            .unwrap_or(first);
        let reason = match (of_kind(most, kind), of_kind(most, against)) {
            (Some(won), Some(lost)) => why(won, lost),
            _ => "nothing else was measured".to_string(),
        };
        said.push(format!(
            "{range} {} win (up to {:.2} times as fast as {}), since {reason}",
            kind.words(),
            gain(most).unwrap_or(1.0),
            against.words()
        ));
    }
    said.join("; ") + "."
}

/// Where the loser's time goes, by what was measured.
fn why(won: &Of, lost: &Of) -> String {
    let talk = |of: &Of| percent(&of.run, of.run.constructing + of.run.sending + of.run.waiting);
    if Kind::of(&won.form) == Kind::Threads && talk(lost) > 5.0 {
        return format!("messages take {:.0}% of the ranks' time there", talk(lost));
    }
    if let (Some(won), Some(lost)) = (won.share, lost.share)
        && won.0 > 0.5
    {
        return format!(
            "each rank keeps to memory and caches of its own: {:.0}% of the {} limit are reached, with threads {:.0}%",
            100.0 * won.0,
            won.1,
            100.0 * lost.0
        );
    }
    format!(
        "threads are started and brought together in every step, which costs more than the {:.0}% that messages take",
        talk(won)
    )
}

fn why_level(size: &Size) -> String {
    match best(size).share {
        Some((share, what)) if share > 0.6 => {
            format!("both are bound by the same {what} limit, of which they reach {:.0}%", 100.0 * share)
        }
        _ => "what they spend on each other is little beside the computation".to_string(),
    }
}

fn report(
    wanted: &Compare,
    flags: &[String],
    sizes: &[Size],
    limits: &Limits,
    verdict: &str,
) -> serde_json::Value {
    json!({"kernel": wanted.kernel, "sweep": flags, "sizes": sizes, "limits": limits, "verdict": verdict})
}

fn write(
    folder: &std::path::Path,
    wanted: &Compare,
    flags: &[String],
    sizes: &[Size],
    limits: &Limits,
    verdict: &str,
) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(rankine::ErrorKind::Io, format!("cannot write to {}: {error}", folder.display()))
            .help("give --out a folder that can be written")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let text = report(wanted, flags, sizes, limits, verdict).to_string();
    std::fs::write(folder.join("compare.json"), text).map_err(failed)?;
    if sizes.len() < 2 {
        return Ok(());
    }
    let unit = &sizes[0].forms[0].run.unit;
    let across = format!("{}, as powers of two", flags.join(" and "));
    let mut plot =
        Plot::new(format!("{}: messages or threads", wanted.kernel), across, unit.clone()).logarithmic();
    for (at, of) in sizes[0].forms.iter().enumerate() {
        let points = sizes.iter().map(|size| ((size.size as f64).log2(), size.forms[at].run.rate));
        plot = plot.curve(of.form.to_string(), points);
    }
    plot.write(folder.join("compare.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64, waiting: f64) -> Measured {
        Measured {
            rate,
            unit: "MB/s".to_string(),
            step: 1e-3,
            seconds: 1.0,
            constructing: 0.0,
            sending: 0.0,
            waiting,
            messages: 1,
            collectives: 0,
            bytes: 1,
            memory: None,
            flops_per_second: None,
            bytes_per_second: None,
        }
    }

    fn size(size: u64, messages: f64, threads: f64, waiting: f64) -> Size {
        let of = |form, rate| Of { form, run: run(rate, waiting), share: Some((0.7, "memory")) };
        Size { size, forms: vec![of(Form::local(2, 1), messages), of(Form::local(1, 2), threads)] }
    }

    #[test]
    fn the_crossover_is_between_sizes_with_other_winners() {
        let sizes = [size(10, 1.0, 2.0, 0.4), size(100, 3.0, 4.0, 0.3), size(1000, 9.0, 5.0, 0.1)];
        let said = verdict("length", &sizes);
        assert!(
            said.starts_with("Up to length 100 threads in one address space win (up to 2.00 times"),
            "{said}"
        );
        assert!(said.contains("messages take 40% of the ranks' time there"), "{said}");
        assert!(
            said.contains("from length 1000 on ranks that send messages win (up to 1.80 times"),
            "{said}"
        );
        let said = verdict("n", &[size(10, 1.0, 1.01, 0.0), size(20, 1.0, 1.0, 0.0)]);
        assert!(
            said.starts_with("At all sizes messages and threads are level, since both are bound"),
            "{said}"
        );
    }

    #[test]
    fn sweeps_are_flags_and_numbers_that_rise() {
        let wanted = |sweep: &str| Compare {
            with: None,
            kernel: "p2p".to_string(),
            workers: None,
            turns: 1,
            sweep: Some(sweep.to_string()),
            seconds: 1.0,
            out: None,
            json: false,
            flags: Vec::new(),
        };
        let (flags, sizes) = sweep(&wanted("m,n=10, 20")).unwrap();
        assert_eq!((flags, sizes), (vec!["m".to_string(), "n".to_string()], vec![10, 20]));
        for wrong in ["", "m", "m=", "m=a", "m=2,1", "m=0,1", "=1", "m=-1", "m=99999999999999999999"] {
            assert_eq!(sweep(&wanted(wrong)).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
