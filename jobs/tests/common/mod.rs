//! How the command is started in tests, and the table of bad input that every way of starting it must refuse alike.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Held by who starts a process, and alone by who writes an HDF5 file: the library's file descriptors are inherited, and
/// its lock on the file with them, for as long as a process lives that was started meanwhile.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts `rankine run <words>` on `ranks` ranks in `folder`.
pub type Start<'s> = &'s dyn Fn(&Path, usize, &[&str]) -> Command;

/// What came of it.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// Runs a command to its end.
pub fn ended(mut command: Command) -> Ended {
    let began = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn().expect("the command can be started");
    drop(starting);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the command can be awaited");
    Ended {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        took: began.elapsed(),
    }
}

/// `rankine` itself, with a quiet environment.
pub fn rankine(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rankine"));
    command.current_dir(folder);
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"] {
        command.env_remove(name);
    }
    command
}

/// One thing a person may get wrong.
struct Bad {
    words: &'static str,
    ranks: usize,
    code: i32,
    /// What the error must say.
    says: &'static [&'static str],
}

const fn bad(words: &'static str, ranks: usize, code: i32, says: &'static [&'static str]) -> Bad {
    Bad { words, ranks, code, says }
}

/// Without HDF5, reading any file is the same error.
fn reading(says: &'static [&'static str]) -> &'static [&'static str] {
    if cfg!(feature = "hdf5") { says } else { &["built without HDF5"] }
}

/// Every bad input: the right exit code, one paragraph, once, soon, and no file left. `folder` is made here.
pub fn bad_input_is_refused(start: Start<'_>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    std::fs::write(root.join("file"), "not a folder, not HDF5").expect("a file");
    std::fs::write(root.join("unknown.toml"), "kernel = \"heat3d\"\n[parameters]\nstesp = 3\n")
        .expect("a file");
    std::fs::write(root.join("type.toml"), "kernel = \"heat3d\"\n[parameters]\nsteps = \"x\"\n")
        .expect("a file");
    std::fs::write(root.join("kernel.toml"), "kernel = \"heat2d\"\n").expect("a file");
    std::fs::create_dir(root.join("taken")).expect("a folder");
    std::fs::write(root.join("taken/thesis.tex"), "").expect("a file");
    #[cfg(feature = "hdf5")]
    write_bad_data(root);
    let before = files(root);
    let table = [
        bad("stencil --size 4", 3, 2, &["--size 4: smaller than a stencil of --radius 2"]),
        bad("stencil --iterations 0", 2, 2, &["--iterations 0"]),
        bad("stencil --size 100000000", 2, 2, &["needs", "of memory", "has", "available"]),
        bad("transpose --order 2", 3, 2, &["--order 2: fewer rows than the 3 ranks"]),
        bad("dgemm --order -5", 2, 2, &["'-5'"]),
        bad("nstream --length 99999999999999999999", 2, 2, &["99999999999999999999"]),
        bad("nstream --length 9999999999999", 2, 2, &["needs", "of memory", "has", "available"]),
        bad("p2p --m 2", 3, 2, &["--m 2: at least 4 on 3 ranks"]),
        bad("reduce --length 0", 3, 2, &["--length 0"]),
        bad("sync_global --length 2", 3, 2, &["--length 2: fewer characters than the 3 ranks"]),
        bad("haet3d", 2, 2, &["no kernel \"haet3d\"", "did you mean heat3d?"]),
        bad("--steps 3", 2, 2, &["no kernel is named"]),
        bad("heat3d --stesp 3", 2, 2, &["'--stesp'", "'--steps'"]),
        bad("heat3d --steps many", 2, 2, &["invalid value 'many' for '--steps"]),
        bad("heat3d --job unknown.toml", 2, 2, &["unknown.toml:3", "`stesp`", "did you mean `steps`?"]),
        bad("--job type.toml", 2, 2, &["type.toml:3", "`steps`", "expected u64"]),
        bad("--job kernel.toml", 2, 2, &["no kernel \"heat2d\"", "did you mean heat3d?"]),
        bad("heat3d --job kernel.toml", 2, 2, &["kernel.toml is a job for the kernel heat2d"]),
        bad("heat3d --job none.toml", 2, 4, &["cannot read the job file none.toml"]),
        bad("heat3d --cells 0", 2, 2, &["--cells 0,0,0"]),
        bad("heat3d --cells 4,-4,4", 2, 2, &["4,-4,4"]),
        bad("heat3d --cells -4", 2, 2, &["'-4'"]),
        bad("heat3d --diffusivity -1", 2, 2, &["--diffusivity -1"]),
        bad("heat3d --dt 0.2", 3, 2, &["--dt 0.2 is unstable", "0.166667", "give --dt 0.15"]),
        bad("heat3d --cells 1,1,2", 3, 2, &["3 ranks, but 1x1x2 cells", "use 2 ranks"]),
        bad("heat3d --cells 200000", 2, 2, &["needs", "of memory", "has", "available"]),
        bad("heat3d --every 0", 2, 2, &["--every 0"]),
        bad("heat3d --out file", 2, 4, &["file: it is a file"]),
        bad("heat3d --out file/below", 2, 4, &["file is a file"]),
        bad("heat3d --out /proc/nowhere", 2, 4, &["/proc"]),
        bad("heat3d --out taken", 2, 4, &["taken holds files of something else"]),
        bad("heat3d --out taken --overwrite", 2, 4, &["taken holds files of something else"]),
        bad("heat3d --input none.h5:/t1", 3, 4, reading(&["none.h5"])),
        bad("heat3d --input file:/t1", 3, 4, reading(&["file", "not"])),
        bad("heat3d --input :/t1", 2, 2, &["no file is named"]),
        bad("heat3d --input data.h5:/nothing", 3, 4, reading(&["data.h5", "nothing", "plane"])),
        bad("heat3d --input data.h5:/plane", 3, 4, reading(&["data.h5", "plane", "2 axes", "3 are needed"])),
        bad("heat3d --input data.h5:/holes", 3, 4, reading(&["data.h5", "holes", "NaN"])),
        bad(
            "heat3d --cells 4 --input data.h5:/whole",
            2,
            if cfg!(feature = "hdf5") { 2 } else { 4 },
            reading(&["--cells 4,4,4", "5,6,7"]),
        ),
    ];
    for Bad { words, ranks, code, says } in table {
        refused(start(root, ranks, &words.split(' ').collect::<Vec<_>>()), words, code, says);
        assert_eq!(files(root), before, "{words}: files are left");
    }
}

/// A dataset of too few axes, one with a NaN in the last rank's part, and one that is fine.
#[cfg(feature = "hdf5")]
fn write_bad_data(folder: &Path) {
    use rankine::output::{Layout, Slab, Writer};
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    rankine::testing::ranks([1], |world| {
        let mut file = Writer::create(world, folder.join("data.h5"))?;
        file.write("plane", &Slab::new(&[1.0; 12], Layout::whole([3, 4])?)?)?;
        let mut cells = vec![1.0; 5 * 6 * 7];
        file.write("whole", &Slab::new(&cells, Layout::whole([5, 6, 7])?)?)?;
        cells[5 * 6 * 7 - 1] = f64::NAN;
        file.write("holes", &Slab::new(&cells, Layout::whole([5, 6, 7])?)?)?;
        file.finish()
    });
}

/// One run that must be refused.
pub fn refused(command: Command, words: &str, code: i32, says: &[&str]) {
    let Ended { code: found, stdout, stderr, took } = ended(command);
    let ours = ours(&stderr);
    assert_eq!(found, code, "{words}\n{stderr}");
    assert_eq!(stdout, "", "{words}");
    assert_eq!(ours.matches("error: ").count(), 1, "{words}: told more than once, or not at all\n{stderr}");
    assert!(!ours.trim_end().contains("\n\n"), "{words}: more than a paragraph\n{stderr}");
    assert!(!ours.contains("panicked"), "{words}\n{stderr}");
    for part in says {
        assert!(ours.contains(part), "{words}: {part:?} is not said\n{stderr}");
    }
    // No rank waits for one that has been refused until the watch loses its patience, which is 20 s.
    assert!(took < Duration::from_secs(15), "{words}: took {took:?}");
}

/// What we said, without the words of a launcher: from `error: ` up to a line that is not indented.
fn ours(stderr: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in stderr.lines() {
        inside = line.starts_with("error: ") || (inside && line.starts_with(' ') && !line.trim().is_empty());
        if inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// All files below a folder, sorted, relative to it.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, root, found);
            }
            found.push(path.strip_prefix(root).expect("below the root").display().to_string());
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// A JSON file.
pub fn json(path: impl AsRef<Path>) -> serde_json::Value {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same job on several numbers of ranks: the verdict, the files, and one checksum.
pub fn runs_agree(start: Start<'_>, engine: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for shape in ["16,17,18", "2,13,7"] {
        let mut sums = Vec::new();
        for ranks in [1, 2, 3, 4, 7] {
            let out = format!("run-{shape}-{ranks}");
            let words = ["heat3d", "--cells", shape, "--steps", "30", "--every", "10", "--out", &out];
            let Ended { code, stdout, stderr, .. } = ended(start(folder.path(), ranks, &words));
            assert_eq!(code, 0, "{shape} on {ranks}\n{stderr}");
            assert!(stdout.contains("verdict   passed"), "{stdout}");
            let run = folder.path().join(&out);
            let mut expected = vec![
                "log",
                "log/progress.csv",
                "log/run.txt",
                "out",
                "out/scalars.csv",
                "out/slices.png",
                "progress.json",
                "provenance.json",
                "result.json",
                "run.toml",
                "timings.json",
            ];
            if cfg!(feature = "hdf5") {
                expected.extend([
                    "out/fields-000000.h5",
                    "out/fields-000010.h5",
                    "out/fields-000020.h5",
                    "out/fields-000030.h5",
                    "out/fields.xdmf",
                ]);
                expected.sort_unstable();
            }
            assert_eq!(files(&run), expected);
            let result = json(run.join("result.json"));
            assert_eq!(result["verdict"], "passed");
            assert_eq!(result["steps"], 30);
            let provenance = json(run.join("provenance.json"));
            assert_eq!((&provenance["engine"], &provenance["ranks"]), (&engine.into(), &ranks.into()));
            assert!(provenance["ended"].is_string());
            assert_eq!(json(run.join("progress.json"))["state"], "finished");
            let seconds = &json(run.join("timings.json"))["seconds"];
            for phase in ["setup", "compute", "communication", "output", "verification"] {
                let spread =
                    ["min", "mean", "max"].map(|part| seconds[phase][part].as_f64().unwrap_or(f64::NAN));
                assert!(
                    0.0 <= spread[0] && spread[0] <= spread[1] + 1e-12 && spread[1] <= spread[2] + 1e-12,
                    "{seconds}"
                );
            }
            sums.push(result["checksum"].as_str().unwrap_or_default().to_string());
        }
        assert!(sums[0].len() == 16 && sums.iter().all(|sum| *sum == sums[0]), "{shape}: {sums:?}");
    }
}

/// The lines that a benchmark prints, after one for each engine that has part in it.
fn measured(measure: &dyn Fn(&[&str]) -> Command, words: &str, heads: usize, says: &str) -> Vec<String> {
    let words: Vec<&str> = ["bench"].into_iter().chain(words.split(' ')).collect();
    let ended = ended(measure(&words));
    assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
    let (about, rows): (Vec<&str>, Vec<&str>) =
        ended.stdout.lines().partition(|line| line.contains(" engine, "));
    assert_eq!(about.len(), heads, "{}", ended.stdout);
    assert!(about.iter().all(|line| line.contains(says)), "{says}: {}", ended.stdout);
    rows.into_iter().map(str::to_string).collect()
}

/// The benchmarks of arrays, products and files at tiny sizes: every row there is, once for each of `engines`.
pub fn benches_print_their_tables(measure: &dyn Fn(&[&str]) -> Command, ranks: usize, engines: &[&str]) {
    let on = format!("{ranks} ranks");
    let rows = measured(measure, "arrays --cells 12 --order 48 --turns 2", engines.len(), &on);
    assert_eq!(rows.len(), 14 * engines.len(), "{rows:?}");
    assert!(rows.iter().all(|row| row.contains("measure") && row.contains("ratio")), "{rows:?}");
    let fft = measured(measure, "arrays --only fft --cells 7 --turns 1", engines.len(), &on);
    assert!(fft.len() == 4 * engines.len() && fft[0].contains("complex, forward"), "{fft:?}");

    let halos = measured(measure, "halo --cells 12 --turns 1 --each 2", engines.len(), &on);
    let (sweeps, exchanges): (Vec<&String>, Vec<&String>) =
        halos.iter().partition(|row| row.contains("one after the other"));
    assert_eq!((sweeps.len(), exchanges.len()), (engines.len(), 5 * engines.len()), "{halos:?}");

    // Seven entries a row, but for those beyond the six sides.
    let rows =
        measured(measure, "sparse --cells 6 --turns 2 --products 2", engines.len(), "216 rows, 1296 entries");
    assert_eq!(rows.len(), engines.len(), "{rows:?}");
    assert!(rows.iter().all(|row| row.contains("product") && row.contains("triad")), "{rows:?}");
    measured(
        measure,
        "sparse --cells 4 --random 3 --band 9 --turns 1 --products 1",
        engines.len(),
        "64 rows",
    );

    for bad in [["arrays", "--cells", "0"], ["arrays", "--order", "0"], ["halo", "--halo", "0"]] {
        let refused = ended(measure(&[&["bench"], &bad[..]].concat()));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
    #[cfg(feature = "hdf5")]
    {
        let rows = measured(measure, "files --cells 12 --turns 2", 1, &on);
        for side in ["plain", "direct", "in turn"] {
            assert!(rows.iter().any(|row| row.starts_with(side)), "{side}: {rows:?}");
        }
        let ended = ended(measure(&["bench", "files", "--cells", "12", "--turns", "2", "--json"]));
        let all: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((&all["engine"], &all["ranks"]), (&engines[0].into(), &ranks.into()));
        assert_eq!(all["bytes"], 12 * 12 * 12 * 8);
        let sides = all["sides"].as_array().expect("a list");
        assert!(sides.len() >= 3, "{all}");
        assert!(sides.iter().all(|side| side["megabytes_per_second"].as_f64() > Some(0.0)), "{all}");
    }
}

/// The Parallel Research Kernels at sizes of a moment, and the word of the rate that each quotes.
const PRK: [(&str, &str); PRK_COUNT] = [
    ("stencil --iterations 3 --size 60", "Rate (MFlops/s): "),
    ("stencil --iterations 3 --size 40 --radius 3 --shape compact", "Rate (MFlops/s): "),
    ("transpose --iterations 3 --order 70 --tile 16", "Rate (MB/s): "),
    ("dgemm --iterations 2 --order 60 --block 8", "Rate (MFlops/s): "),
    ("nstream --iterations 3 --length 1000 --offset 3", "Rate (MB/s): "),
    ("p2p --iterations 3 --m 50 --n 40", "Rate (MFlops/s): "),
    ("reduce --iterations 3 --length 40000", "Rate (MFlops/s): "),
    ("sync_global --iterations 500 --length 100", "Rate (synch/s): "),
    ("branch --iterations 20 --length 100 --kind vector_stop", "Rate (Mops/s) with branches: "),
    ("branch --iterations 4 --length 100 --kind ins_heavy", "Rate (Mops/s) with branches: "),
    ("sparse --iterations 2 --log2-size 6 --radius 3", "Rate (MFlops/s): "),
    (
        "pic --iterations 5 --size 30 --particles 500 --k 1 --m 2 --init sinusoidal",
        "Rate (Mparticles_moved/s): ",
    ),
    ("random --update-ratio 8 --log2-size 12", "Rate (GUPS/s): "),
    (
        "amr --iterations 9 --size 80 --refined-size 20 --refine-level 1 --period 2 --duration 1 --sub-iterations 2",
        "Rate (MFlops/s): ",
    ),
];

const PRK_COUNT: usize = 14;

/// Each of them validates and quotes its rate, on so many ranks.
pub fn research_kernels_validate(start: Start<'_>, ranks: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (words, rate) in PRK {
        let words: Vec<&str> = words.split(' ').chain(["--no-output"]).collect();
        let ended = ended(start(folder.path(), ranks, &words));
        assert_eq!(ended.code, 0, "{words:?} on {ranks}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("verdict   passed"), "{words:?}: {}", ended.stdout);
        let quoted = ended.stdout.lines().find_map(|line| line.strip_prefix(rate)).expect("a rate");
        let value: f64 = quoted.split(' ').next().unwrap().parse().expect("a number");
        assert!(value > 0.0, "{words:?}: {quoted}");
    }
}
