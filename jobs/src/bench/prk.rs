//! `rankine bench prk`: the Parallel Research Kernels, each as ranks on both engines, as one rank, and as one rank with threads; and
//! beside the collection's own programs, if a folder with them is given, in turn.

use super::line::median;
use crate::forms::{self, Form, Measured};
use crate::limits::Limits;
use rankine::run::show;
use rankine::{Error, Result};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How the kernels are measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Prk {
    /// Ranks, and threads of the form without messages [default: the cores, at most 2]
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// How often every form has its turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    turns: usize,
    /// Only these lines [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// A folder with the collection's programs (stencil, p2p, …), or with its folders of them
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// A fiftieth of the iterations: to see that everything runs
    #[arg(long)]
    brief: bool,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// One line of the table: a kernel, its words and those of the collection's program, at a size of 1 to 3 seconds.
struct Case {
    name: &'static str,
    kernel: &'static str,
    /// Iterations and the flag for them, which come first of the program's words.
    iterations: (&'static str, u64),
    words: &'static str,
    program: &'static str,
    program_words: &'static str,
}

const fn case(
    name: &'static str,
    kernel: &'static str,
    iterations: u64,
    words: &'static str,
    program: &'static str,
    program_words: &'static str,
) -> Case {
    Case { name, kernel, iterations: ("--iterations", iterations), words, program, program_words }
}

const CASES: [Case; CASE_COUNT] = [
    case("stencil", "stencil", 20, "--size 8000", "stencil", "8000"),
    case("stencil-cache", "stencil", 1000, "--size 1000", "stencil", "1000"),
    case("transpose", "transpose", 10, "--order 4096", "transpose", "4096 32"),
    case("transpose-cache", "transpose", 100, "--order 1024", "transpose", "1024 32"),
    case("dgemm", "dgemm", 5, "--order 1024 --block 64", "dgemm", "1024 64 64"),
    case("nstream", "nstream", 20, "--length 60000000", "nstream", "60000000 0"),
    case("p2p", "p2p", 50, "--m 4000 --n 4000", "p2p", "4000 4000"),
    case("p2p-cache", "p2p", 1000, "--m 1000 --n 1000", "p2p", "1000 1000"),
    case("p2p-grouped", "p2p", 50, "--m 4000 --n 4000 --group 100", "p2p", "4000 4000 100"),
    case("reduce", "reduce", 200, "--length 2000000", "reduce", "2000000"),
    case("sync_global", "sync_global", 100_000, "--length 1000", "global", "1000"),
    Case {
        iterations: ("--update-ratio", 8),
        ..case("random", "random", 0, "--log2-size 24", "random", "24")
    },
    Case {
        iterations: ("--update-ratio", 64),
        ..case("random-cache", "random", 0, "--log2-size 20", "random", "20")
    },
    case("sparse", "sparse", 60, "--log2-size 10 --radius 4", "sparse", "10 4"),
    case(
        "pic",
        "pic",
        40,
        "--size 1000 --particles 1000000 --k 1 --m 2 --init geometric --rho 0.99",
        "pic",
        "1000 1000000 1 2 GEOMETRIC 0.99",
    ),
    case(
        "amr",
        "amr",
        100,
        "--size 2000 --refined-size 200 --refine-level 2 --period 2 --duration 1 --sub-iterations 5",
        "amr",
        "2000 200 2 2 1 5 FINE_GRAIN",
    ),
    case("branch", "branch", 20_000, "--length 10000 --kind vector_go", "branch", "10000 vector_go"),
    case("branch-scalar", "branch", 20_000, "--length 10000 --kind no_vector", "branch", "10000 no_vector"),
    case("branch-heavy", "branch", 500, "--length 10000 --kind ins_heavy", "branch", "10000 ins_heavy"),
];

const CASE_COUNT: usize = 19;

/// Does it.
///
/// # Errors
/// A flag that cannot be; a run that fails or does not verify.
pub fn bench(wanted: &Prk) -> Result<()> {
    forms::alone("rankine bench prk")?;
    if wanted.turns == 0 || wanted.turns > 1000 {
        return Err(Error::usage(format!("--turns {}", wanted.turns)).help("give 1 to 1000"));
    }
    let ranks = wanted.ranks.unwrap_or(forms::cores().min(2));
    if ranks == 0 || ranks > 1024 {
        return Err(Error::usage(format!("--ranks {ranks}")).help("give 1 to 1024"));
    }
    let names = CASES.each_ref().map(|case| case.name);
    if let Some(unknown) = wanted.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(Error::usage(format!("--only {unknown}: there is no such line"))
            .help(format!("there are {}", names.join(", "))));
    }
    let cases = || {
        CASES.iter().filter(|case| wanted.only.is_empty() || wanted.only.iter().any(|name| name == case.name))
    };
    if let Some(folder) = &wanted.peers {
        // All of them before anything is measured.
        cases().try_for_each(|case| program(folder, case.program).map(drop))?;
    }
    let alone = Form::local(1, 1);
    let mut shown = vec![alone];
    if ranks > 1 {
        shown.extend([Form::local(ranks, 1), Form::mpi(ranks, 1), Form::local(1, ranks)]);
    }
    shown.retain(|form| form.engine == forms::Engine::Local || forms::has_mpi());
    let limits = [Limits::of(1)?, Limits::of(ranks)?];
    let mut lines = Vec::new();
    if !wanted.json {
        show(&format!(
            "1 core: {:.1} GB/s, {:.1} GFLOP/s; {ranks}: {:.1} GB/s, {:.1} GFLOP/s; medians of {}\n",
            limits[0].bytes / 1e9,
            limits[0].flops / 1e9,
            limits[1].bytes / 1e9,
            limits[1].flops / 1e9,
            wanted.turns
        ));
        show(&format!(
            "{:16} {:22} {:>14} {:10} {:>12} {:>11}",
            "", "", "rate", "", "of the limit", "to 1 rank"
        ));
        show(if wanted.peers.is_some() { "  to the peer\n" } else { "\n" });
    }
    for case in cases() {
        let line = measure(case, wanted, &shown, &limits)?;
        if !wanted.json {
            show(&table(&line));
        }
        lines.push(line);
    }
    if wanted.json {
        show(&(json!({"ranks": ranks, "limits": limits, "kernels": lines}).to_string() + "\n"));
    } else if let Some(mean) =
        geometric_mean(lines.iter().flat_map(|line| &line.forms).filter_map(|form| form.to_peer))
    {
        show(&format!("geometric mean of the ratios to the peers: {mean:.2}\n"));
    }
    Ok(())
}

/// What was measured of one case.
#[derive(serde::Serialize)]
struct Line {
    name: &'static str,
    unit: String,
    forms: Vec<Of>,
}

/// One form: medians.
#[derive(serde::Serialize)]
struct Of {
    form: Form,
    rate: f64,
    share: Option<(f64, &'static str)>,
    to_one: f64,
    to_peer: Option<f64>,
}

fn measure(case: &Case, wanted: &Prk, shown: &[Form], limits: &[Limits; 2]) -> Result<Line> {
    let (flag, count) = case.iterations;
    let count = if wanted.brief { (count / 50).max(1) } else { count };
    let words: Vec<String> = [flag.to_string(), count.to_string()]
        .into_iter()
        .chain(case.words.split(' ').map(str::to_string))
        .collect();
    let number = count.to_string();
    let program_words: Vec<&str> =
        [number.as_str()].into_iter().chain(case.program_words.split(' ')).collect();
    let peer = wanted.peers.as_deref().map(|folder| program(folder, case.program)).transpose()?;
    let mut runs: Vec<Vec<Measured>> = shown.iter().map(|_| Vec::new()).collect();
    // The peer's rate just before each form's, on as many ranks.
    let mut ratios: Vec<Vec<f64>> = shown.iter().map(|_| Vec::new()).collect();
    for _ in 0..wanted.turns {
        for (at, form) in shown.iter().enumerate() {
            let before =
                peer.as_deref().map(|peer| forms::peer(peer, form.workers(), &program_words)).transpose()?;
            let run = form.run(case.kernel, &words)?;
            ratios[at].extend(before.map(|before| run.rate / before));
            runs[at].push(run);
        }
    }
    let rate_of = |at: usize| median(runs[at].iter().map(|run| run.rate).collect());
    let forms = shown.iter().enumerate().map(|(at, &form)| {
        let limits = if form.workers() == 1 { limits[0] } else { limits[1] };
        let of = |rate: fn(&Measured) -> Option<f64>| {
            runs[at].iter().map(rate).collect::<Option<Vec<f64>>>().map(median)
        };
        Of {
            form,
            rate: rate_of(at),
            share: limits.share(of(|run| run.bytes_per_second), of(|run| run.flops_per_second)),
            to_one: rate_of(at) / rate_of(0),
            to_peer: (!ratios[at].is_empty()).then(|| median(ratios[at].clone())),
        }
    });
    Ok(Line { name: case.name, unit: runs[0][0].unit.clone(), forms: forms.collect() })
}

fn table(line: &Line) -> String {
    let row = |(at, of): (usize, &Of)| {
        let share = of.share.map_or(String::new(), |(share, what)| format!("{:.0}% {what}", 100.0 * share));
        let peer = of.to_peer.map_or(String::new(), |ratio| format!("  {ratio:11.2}"));
        let name = if at == 0 { line.name } else { "" };
        format!(
            "{name:16} {:22} {:14.4} {:10} {share:>12} {:11.2}{peer}\n",
            of.form.to_string(),
            of.rate,
            line.unit,
            of.to_one
        )
    };
    line.forms.iter().enumerate().map(row).collect()
}

/// The collection's program of that name in a folder, or in one of the folder's own folders.
fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let inside = std::fs::read_dir(folder).map_err(|error| {
        Error::usage(format!("--peers {}: {error}", folder.display()))
            .help("give a folder with the collection's programs")
    })?;
    let folders = inside.flatten().map(|entry| entry.path().join(name));
    [folder.join(name)].into_iter().chain(folders).find(|path| path.is_file()).ok_or_else(|| {
        Error::usage(format!("--peers {}: there is no {name} in it", folder.display()))
            .help("build the collection's MPI1 programs, or choose with --only which lines to measure")
    })
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric() {
        assert!((geometric_mean([1.0, 4.0].into_iter()).unwrap() - 2.0).abs() < 1e-15);
        assert_eq!(geometric_mean([].into_iter()), None);
    }

    #[test]
    fn all_lines_name_kernels_that_there_are() {
        let kernels = rankine_kernels::all().map(|entry| entry.name);
        assert!(CASES.iter().all(|case| kernels.contains(&case.kernel)));
    }
}
