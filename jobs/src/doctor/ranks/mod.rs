//! The doctor as ranks that a launcher started. Rank 0 tells each what to look at and hears what it found; every answer has
//! a deadline, and what does not come is a finding. What is measured and how it is judged is in a file each.

mod clock;
mod differ;
mod guard;
mod line;
mod outliers;
mod pairs;

use super::finding::{Node, Pair};
use super::transport::{Offer, attach};
use super::{Doctor, Finding, Report, faults, files, machine, slurm, transport};
use differ::Facts;
use guard::Guard;
use line::Line;
use pairs::Times;
use rankine::launch::Launcher;
use rankine::output::{Layout, Slab, Writer};
use rankine::{Comm, Error, ErrorKind, Launch, Result, op};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FACTS: i32 = 11;
const ORDER: i32 = 12;
const ANSWER: i32 = 13;

/// How long an answer may take that needs no measuring.
const SOON: Duration = Duration::from_secs(10);

/// Up to so many nodes measure one pair after the other, and do not disturb each other.
const ALONE: usize = 16;

/// What rank 0 asks of a rank.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    /// Look at this node, which has so many ranks.
    Look(usize),
    /// Read a neighbour's memory.
    Read(Offer),
    /// Measure with another rank.
    Pair { peer: usize, first: bool },
    /// Tell the time.
    Clock,
    /// Is this file there?
    See(PathBuf),
    /// Reduce something over all ranks, and write a file with all of them.
    Together(PathBuf),
    /// That is all.
    End,
}

/// What a rank says to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Findings(Vec<Finding>),
    Read(Result<(), i32>),
    Times(Times),
    Seen(bool),
    Done,
    Failed(String),
}

/// Looks, on the ranks that `launcher` started.
///
/// # Errors
/// Faults; ranks that do not find each other.
pub fn look(wanted: &Doctor, launcher: &Launcher) -> Result<()> {
    let report = Report::new(launcher.ranks);
    let first = rankine::launch::is_first_process();
    let guard = Guard::start(report, wanted.json, first, wanted.patience());
    let found = Arc::new(AtomicUsize::new(0));
    if let Some(finding) = without_interface(launcher) {
        guard.with(|report| report.add(finding));
        return faults(guard.show());
    }
    let (watched, asked, counted) = (guard.clone(), wanted.clone(), found.clone());
    let run = Launch::new().checked(false).watch(false).threads(1).run(move |world| {
        watched.at("ranks tell of themselves");
        let facts = Facts::of(world.rank(), world.node(), machine::threads(&asked));
        let line = Line::new(world);
        if line.world.rank() > 0 {
            return serve(&line, &facts, &asked);
        }
        let mut head = Head { line, facts: Vec::new(), wanted: &asked, guard: &watched, silent: Vec::new() };
        head.examine(facts)?;
        counted.store(watched.show(), Ordering::Release);
        head.dismiss()
    });
    if let Err(error) = run {
        guard.with(|report| report.add(unstarted(&error, launcher)));
        guard.show();
        guard.end();
        return Err(Error::new(ErrorKind::Setup, "ranks do not find each other").help("the fix is above"));
    }
    guard.end();
    faults(found.load(Ordering::Acquire))
}

/// srun that starts ranks and gives them no way to find each other: Open MPI would end this process at once.
fn without_interface(launcher: &Launcher) -> Option<Finding> {
    let given = std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("PMI"));
    if launcher.name != "srun" || launcher.ranks < 2 || given {
        return None;
    }
    let library = rankine::launch::mpi_library();
    let finding = Finding::fault(
        "launcher",
        format!(
            "srun started {n} processes without MPI's interface (--mpi={}): {n} copies of rank 0",
            std::env::var("SLURM_MPI_TYPE").unwrap_or_else(|_| "none".to_string()),
            n = launcher.ranks
        ),
        "start them with the --mpi type that the linked MPI was built for",
    );
    let kind = library.as_deref().map_or("pmix", slurm::best);
    Some(finding.by(format!("srun --mpi={kind} -n {} rankine doctor", launcher.ranks)))
}

/// MPI that does not start, in a finding's words.
fn unstarted(error: &Error, launcher: &Launcher) -> Finding {
    let text = error.to_string();
    let (found, help) = text.split_once("\n  help: ").unwrap_or((&text, "try it by hand"));
    if found.contains("does not allow other threads") {
        return Finding::fault("thread level", found, help).by("ompi_info | grep -i thread");
    }
    let finding = Finding::fault("launcher", format!("{found}: {} copies of rank 0", launcher.ranks), help);
    match super::mpi::launcher_of(rankine::launch::mpi_library().as_deref()) {
        Some(right) => finding.by(format!("{} -n {} rankine doctor", right.display(), launcher.ranks)),
        None => finding,
    }
}

/// What ranks other than 0 do: as they are told, until that is all.
fn serve(line: &Line, facts: &Facts, wanted: &Doctor) -> Result<()> {
    line.send(facts, 0, FACTS)?;
    let deadline = Instant::now() + wanted.patience();
    // The guard ends what takes longer.
    while let Some(order) = line.recv::<Order>(0, ORDER, deadline)? {
        if matches!(order, Order::End) {
            break;
        }
        let answer =
            obey(&line.world, order, wanted).unwrap_or_else(|error| Answer::Failed(error.to_string()));
        line.send(&answer, 0, ANSWER)?;
    }
    line.settled(SOON).map(drop)
}

fn obey(world: &Comm, order: Order, wanted: &Doctor) -> Result<Answer> {
    Ok(match order {
        Order::Look(ranks) => {
            let mut findings = transport::look(ranks, false);
            findings.extend(files::look(&wanted.dir));
            Answer::Findings(findings)
        }
        Order::Read(offer) => Answer::Read(offer.read()),
        Order::Pair { peer, first } => Answer::Times(pairs::measure(world, peer, first)?),
        Order::Clock => {
            clock::tell(world, 0)?;
            Answer::Done
        }
        Order::See(path) => Answer::Seen(appears(&path)),
        Order::Together(path) => Answer::Findings(together(world, &path)?),
        Order::End => Answer::Done,
    })
}

/// Whether a file that another node has made is there, or comes within what file systems of several nodes take to tell.
fn appears(path: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(3);
    while !path.exists() {
        if Instant::now() > deadline {
            return false;
        }
        // A listing makes NFS look again.
        let _ = path.parent().map(std::fs::read_dir);
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// What all ranks do at once. Collective.
fn together(world: &Comm, path: &Path) -> Result<Vec<Finding>> {
    const ROUNDS: usize = 20;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        world.allreduce(1.0, op::Sum)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    let all = format!("of {} ranks in {}", world.size(), outliers::time(Some(best)));
    let mut findings = vec![Finding::ok("allreduce", all)];
    let Some(library) = rankine::output::hdf5_library() else { return Ok(findings) };
    let parallel = library.contains("parallel") && world.engine_name() == "mpi";
    let _gone = (world.rank() == 0).then(|| files::Passing(path.to_path_buf()));
    let (rank, size) = (world.rank(), world.size());
    let write = || -> Result<()> {
        let mut file =
            if parallel { Writer::create_together(world, path)? } else { Writer::create(world, path)? };
        file.write("ranks", &Slab::new(&[rank as f64], Layout::new([size], [rank], [1], 0)?)?)?;
        file.finish()
    };
    let way = if parallel { "by MPI-IO" } else { "by serial HDF5" };
    findings.push(match write() {
        Ok(()) => Finding::ok("shared file", format!("written by {size} ranks together ({way})")),
        Err(error) => Finding::fault(
            "shared file",
            format!("{way}: {}", error.to_string().lines().next().unwrap_or_default()),
            "another folder (--out); without locks if those are what fails",
        )
        .by("export HDF5_USE_FILE_LOCKING=FALSE"),
    });
    Ok(findings)
}

/// Rank 0.
struct Head<'d> {
    line: Line,
    facts: Vec<Option<Facts>>,
    wanted: &'d Doctor,
    guard: &'d Guard,
    /// Ranks that did not answer once: they are asked nothing more.
    silent: Vec<usize>,
}

impl Head<'_> {
    fn examine(&mut self, own: Facts) -> Result<()> {
        self.hear_facts(own)?;
        let facts: Vec<Facts> = self.facts.iter().flatten().cloned().collect();
        self.guard.with(|report| {
            report.nodes = nodes(&facts);
            report.extend(differ::judge(&facts));
        });
        let nodes = nodes(&facts);
        self.look_around(&nodes)?;
        self.read_neighbours(&nodes, &facts)?;
        self.measure(&nodes)?;
        self.compare_clocks(&nodes)?;
        // A file of all ranks where each sees another folder hangs MPI-IO.
        let shared = self.share_files(&nodes)?;
        if shared && self.silent.is_empty() {
            self.all_together()?;
        }
        Ok(())
    }

    fn add(&self, finding: Finding) {
        self.guard.with(|report| report.add(finding));
    }

    fn hear_facts(&mut self, own: Facts) -> Result<()> {
        let deadline = Instant::now() + SOON.min(self.wanted.patience() / 2);
        self.facts = vec![None; self.line.world.size()];
        self.facts[0] = Some(own);
        for rank in 1..self.facts.len() {
            self.facts[rank] = self.line.recv(rank, FACTS, deadline)?;
            if self.facts[rank].is_none() {
                self.silent.push(rank);
            }
        }
        if !self.silent.is_empty() {
            let ranks = self.silent.iter().map(usize::to_string).collect::<Vec<_>>();
            let found = format!("rank 0 hears nothing of {}", super::finding::shortened(&ranks));
            let fix = "see whether their nodes reach this one by the network that MPI chose (Open MPI: --mca btl_tcp_if_include)";
            self.add(Finding::fault("answers", found, fix).by("ip -br address"));
        }
        Ok(())
    }

    /// Gives orders and does its own part, then hears what came of them.
    fn ask(&mut self, orders: &[(usize, Order)], patience: Duration) -> Result<Vec<Option<Answer>>> {
        let asked: Vec<_> = orders.iter().filter(|(rank, _)| !self.silent.contains(rank)).collect();
        for (rank, order) in asked.iter().filter(|(rank, _)| *rank > 0) {
            self.line.send(order, *rank, ORDER)?;
        }
        let mut own = None;
        if let Some((_, order)) = asked.iter().find(|(rank, _)| *rank == 0) {
            own = Some(obey(&self.line.world, order.clone(), self.wanted)?);
        }
        let deadline = Instant::now() + patience;
        let mut answers = Vec::new();
        for (rank, _) in orders {
            answers.push(match rank {
                0 => own.take(),
                rank if self.silent.contains(rank) => None,
                rank => {
                    let answer = self.line.recv(*rank, ANSWER, deadline)?;
                    if answer.is_none() {
                        self.silent.push(*rank);
                        let node = self.facts[*rank].as_ref().map_or("?", |facts| &facts.node);
                        let found = format!("rank {rank} on {node} has stopped answering");
                        self.add(
                            Finding::fault("answers", found, "see what that node does")
                                .by(format!("ssh {node} uptime")),
                        );
                    }
                    answer
                }
            });
        }
        Ok(answers)
    }

    fn look_around(&mut self, nodes: &[Node]) -> Result<()> {
        self.guard.at("each node is looked at");
        let orders: Vec<_> =
            nodes.iter().map(|node| (node.ranks[0], Order::Look(node.ranks.len()))).collect();
        let answers = self.ask(&orders, SOON)?;
        for (node, answer) in nodes.iter().zip(answers) {
            if let Some(Answer::Findings(findings)) = answer {
                let here = |finding| Finding { nodes: vec![node.name.clone()], ..finding };
                self.guard.with(|report| report.extend(findings.into_iter().map(here)));
            }
        }
        Ok(())
    }

    fn read_neighbours(&mut self, nodes: &[Node], facts: &[Facts]) -> Result<()> {
        self.guard.at("ranks of a node read each other's memory");
        let shared: Vec<&Node> = nodes.iter().filter(|node| node.ranks.len() > 1).collect();
        let offer = |rank: usize| facts.iter().find(|facts| facts.rank == rank).map(|facts| facts.offer);
        let orders: Vec<_> = shared
            .iter()
            .filter_map(|node| Some((node.ranks[1], Order::Read(offer(node.ranks[0])?))))
            .collect();
        let answers = self.ask(&orders, SOON)?;
        for (node, answer) in shared.iter().zip(answers) {
            if let Some(Answer::Read(read)) = answer {
                let finding = attach(read.map_err(Some));
                self.add(Finding { nodes: vec![node.name.clone()], ..finding });
            }
        }
        Ok(())
    }

    /// Every node with every other, and two ranks of each with each other.
    fn measure(&mut self, nodes: &[Node]) -> Result<()> {
        let within: Vec<_> = nodes
            .iter()
            .filter(|node| node.ranks.len() > 1)
            .map(|node| (node.ranks[0], node.ranks[1]))
            .collect();
        let mut inside = Vec::new();
        for pair in within {
            inside.extend(self.times_of(&[pair])?);
        }
        let leaders: Vec<usize> = nodes.iter().map(|node| node.ranks[0]).collect();
        let mut between = Vec::new();
        for round in pairs::rounds(nodes.len()) {
            let ranks: Vec<_> = round.iter().map(|&(a, b)| (leaders[a], leaders[b])).collect();
            let at_once = if nodes.len() <= ALONE { 1 } else { ranks.len().max(1) };
            for pairs in ranks.chunks(at_once) {
                between.extend(self.times_of(pairs)?);
            }
        }
        self.once_more(&mut between)?;
        self.once_more(&mut inside)?;
        self.judge_inside(&inside);
        self.guard.with(|report| {
            report.extend(outliers::judge(&between));
            report.pairs = between.into_iter().chain(inside).collect();
        });
        Ok(())
    }

    /// What stands out is measured again before it is named: the machine may have been busy.
    fn once_more(&mut self, measured: &mut [Pair]) -> Result<()> {
        for at in outliers::outstanding(measured) {
            let [a, b] = measured[at].ranks;
            // A rank that gave up on the other may have messages of then on its way.
            if measured[at].bandwidth.is_none() {
                continue;
            }
            if let Some(again) = self.times_of(&[(a, b)])?.pop() {
                let known = &mut measured[at];
                let least = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
                known.latency = least(known.latency, again.latency);
                known.allreduce = least(known.allreduce, again.allreduce);
                known.bandwidth = known.bandwidth.into_iter().chain(again.bandwidth).reduce(f64::max);
            }
        }
        Ok(())
    }

    /// Measures pairs of ranks, all at the same time.
    fn times_of(&mut self, pairs: &[(usize, usize)]) -> Result<Vec<Pair>> {
        let name = |facts: &[Option<Facts>], rank: usize| {
            facts[rank].as_ref().map_or_else(String::new, |facts| facts.node.clone())
        };
        let asked: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(a, b)| !self.silent.contains(a) && !self.silent.contains(b))
            .collect();
        let words: Vec<_> = asked
            .iter()
            .map(|&(a, b)| format!("{} and {}", name(&self.facts, a), name(&self.facts, b)))
            .collect();
        self.guard.at(format!("messages are measured between {}", super::finding::shortened(&words)));
        let orders: Vec<_> = asked
            .iter()
            .flat_map(|&(a, b)| {
                [(a, Order::Pair { peer: b, first: true }), (b, Order::Pair { peer: a, first: false })]
            })
            .collect();
        let answers = self.ask(&orders, 2 * pairs::PATIENCE)?;
        let mut measured = Vec::new();
        for (&(a, b), answers) in asked.iter().zip(answers.chunks(2)) {
            let times = match &answers[0] {
                Some(Answer::Times(times)) => *times,
                _ => Times::default(),
            };
            if let Some(Answer::Failed(why)) =
                answers.iter().flatten().find(|a| matches!(a, Answer::Failed(_)))
            {
                let found = format!("{}: {why}", name(&self.facts, a));
                self.add(Finding::fault("answers", found, "mend what MPI says"));
            }
            measured.push(Pair {
                nodes: [name(&self.facts, a), name(&self.facts, b)],
                ranks: [a, b],
                latency: times.latency,
                bandwidth: times.bandwidth,
                allreduce: times.allreduce,
            });
        }
        Ok(measured)
    }

    fn judge_inside(&self, pairs: &[Pair]) {
        for pair in pairs {
            let [a, b] = pair.ranks;
            let finding = match (pair.latency, pair.bandwidth) {
                (Some(_), Some(_)) => Finding::ok(
                    "within node",
                    format!(
                        "ranks {a} and {b}: {}, {}",
                        outliers::time(pair.latency),
                        outliers::rate(pair.bandwidth)
                    ),
                ),
                (latency, _) => Finding::fault(
                    "within node",
                    format!(
                        "{} messages between ranks {a} and {b} of one node do not arrive",
                        if latency.is_some() { "long" } else { "the" }
                    ),
                    "look at /dev/shm and CMA above, or do without the reading of memory",
                )
                .by(transport::do_without()),
            };
            self.add(Finding { nodes: vec![pair.nodes[0].clone()], ..finding });
        }
    }

    fn compare_clocks(&mut self, nodes: &[Node]) -> Result<()> {
        let mut skews = Vec::new();
        for node in nodes.iter().skip(1) {
            let rank = node.ranks[0];
            if self.silent.contains(&rank) {
                continue;
            }
            self.guard.at(format!("{} tells the time", node.name));
            self.line.send(&Order::Clock, rank, ORDER)?;
            if let Some(skew) = clock::ask(&self.line.world, rank)? {
                skews.push((node.name.clone(), skew));
            }
            if self.line.recv::<Answer>(rank, ANSWER, Instant::now() + SOON)?.is_none() {
                self.silent.push(rank);
            }
        }
        if let Some(first) = nodes.first() {
            self.guard.with(|report| report.extend(clock::judge(&first.name, &skews)));
        }
        Ok(())
    }

    /// Whether the run folder is one folder on all nodes.
    fn share_files(&mut self, nodes: &[Node]) -> Result<bool> {
        self.guard.at("nodes look for a file");
        let dir = files::existing(&self.wanted.dir);
        let file = files::Passing(dir.join(format!(".rankine-doctor-{}-seen", std::process::id())));
        if nodes.len() < 2 || std::fs::write(&file.0, "").is_err() {
            return Ok(nodes.len() < 2);
        }
        let orders: Vec<_> =
            nodes.iter().skip(1).map(|node| (node.ranks[0], Order::See(file.0.clone()))).collect();
        let answers = self.ask(&orders, SOON)?;
        let blind: Vec<String> = nodes[1..]
            .iter()
            .zip(answers)
            .filter(|(_, answer)| matches!(answer, Some(Answer::Seen(false))))
            .map(|(node, _)| node.name.clone())
            .collect();
        self.add(if blind.is_empty() {
            Finding::ok("shared folder", format!("{} is one folder on all nodes", dir.display()))
        } else {
            Finding::fault(
                "shared folder",
                format!(
                    "{}: what {} writes there is not seen on {}",
                    dir.display(),
                    nodes[0].name,
                    super::finding::shortened(&blind)
                ),
                "write runs to a file system that all nodes share",
            )
            .by("rankine run KERNEL --out $SCRATCH/run")
        });
        Ok(blind.is_empty())
    }

    fn all_together(&mut self) -> Result<()> {
        self.guard.at("all ranks reduce, and write a file together");
        let dir = files::existing(&self.wanted.dir);
        let path = dir.join(format!(".rankine-doctor-{}-all.h5", std::process::id()));
        let orders: Vec<_> =
            (0..self.facts.len()).map(|rank| (rank, Order::Together(path.clone()))).collect();
        let answers = self.ask(&orders, SOON)?;
        // All ranks tell the same, but for times; whoever has a fault of its own is heard.
        let told = answers.into_iter().enumerate().filter_map(|(rank, answer)| match answer {
            Some(Answer::Findings(findings)) => Some((rank, findings)),
            Some(Answer::Failed(why)) => Some((
                rank,
                vec![Finding::fault("shared file", format!("rank {rank}: {why}"), "mend what it says")],
            )),
            _ => None,
        });
        for (rank, findings) in told.collect::<Vec<_>>() {
            let fault =
                |finding: &Finding| finding.state == super::State::Fault && !finding.found.contains("rank ");
            for finding in findings.into_iter().filter(|finding| rank == 0 || fault(finding)) {
                self.add(finding);
            }
        }
        Ok(())
    }

    /// Lets all go; if some do not answer, the job is ended.
    fn dismiss(&self) -> Result<()> {
        self.guard.at("ranks end");
        for rank in 1..self.facts.len() {
            self.line.send(&Order::End, rank, ORDER)?;
        }
        let cut = self.guard.with(|report| report.pairs.iter().any(|pair| pair.bandwidth.is_none()));
        if cut || !self.silent.is_empty() || !self.line.settled(Duration::from_secs(2))? {
            return Err(Error::new(ErrorKind::Setup, "some ranks do not reach others")
                .help("each fault above has its fix beside it"));
        }
        Ok(())
    }
}

/// Nodes in the order of their first rank, with their ranks.
fn nodes(facts: &[Facts]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for facts in facts {
        match nodes.iter_mut().find(|node| node.name == facts.node) {
            Some(node) => node.ranks.push(facts.rank),
            None => nodes.push(Node { name: facts.node.clone(), ranks: vec![facts.rank] }),
        }
    }
    nodes
}
