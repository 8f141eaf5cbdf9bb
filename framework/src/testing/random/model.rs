//! What a program comes to, thought through without threads, engines or boards: ranks take turns in a random order, messages and
//! receives are two lists per rank, and collective calls are counted. Slow and obvious; it knows nothing of the watch.
//!
//! Where the order of turns decides (receives from anybody, operations given up half done) several orders may come to
//! different ends: `mod` asks for many.

use super::Program;
use super::dice::Dice;
use super::step::{Collective, How, Look, Mode, RING, Side, Step, WINDOW};
use std::collections::HashMap;

/// How one order of turns ends.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Of each rank.
    pub ends: Vec<End>,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Returned,
    Failed(Failure, Halt),
    /// It waits for ever.
    Stuck(Halt),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A message is longer than the room for it.
    Truncated,
    /// Ranks make different collective calls.
    Mismatch,
}

/// Where a rank stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halt {
    /// The name of the call, and what else a report of it must say.
    pub call: &'static str,
    pub words: Vec<String>,
    /// Whom it waits for, and whether one of them is enough.
    pub whom: Vec<usize>,
    pub any: bool,
}

impl Outcome {
    pub fn is_well(&self) -> bool {
        self.ends.iter().all(|end| matches!(end, End::Returned))
    }
}

/// An operation that has been started.
#[derive(Clone, Debug)]
struct Handle {
    id: usize,
    what: Started,
}

#[derive(Clone, Copy, Debug)]
enum Started {
    /// Whether it waits for its receive.
    Send(Side, bool),
    Recv(Side),
    /// The number of the call among those started on its communicator.
    Collect(Collective, usize),
}

#[derive(Clone, Debug)]
struct Mail {
    id: usize,
    from: usize,
    tag: i32,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Post {
    id: usize,
    side: Side,
}

/// What ranks must give alike in a collective call.
type Claim = (&'static str, Option<usize>, usize, usize);

#[derive(Default)]
struct Rank {
    at: usize,
    /// What the step under way has started.
    under_way: Vec<Handle>,
    entered: bool,
    numbers: HashMap<usize, Vec<Handle>>,
    end: Option<End>,
}

struct Model<'p> {
    program: &'p Program,
    dice: Dice,
    ranks: Vec<Rank>,
    /// By communicator and rank: messages that nobody has taken, receives that have got nothing.
    mail: HashMap<(usize, usize), Vec<Mail>>,
    posts: HashMap<(usize, usize), Vec<Post>>,
    /// Messages that have been taken, receives that have got one, with the length.
    over: HashMap<usize, usize>,
    /// By communicator, rank, and whether they were started for later: the collective calls.
    calls: HashMap<(usize, usize, bool), Vec<Claim>>,
    ids: usize,
}

/// One order of turns.
pub(super) fn outcome(program: &Program, order: u64) -> Outcome {
    let ranks = program.steps.iter().map(|_| Rank::default()).collect();
    let (mail, posts, over, calls) = Default::default();
    let mut model = Model { program, dice: Dice::new(order), ranks, mail, posts, over, calls, ids: 0 };
    let mut turns: Vec<usize> = (0..model.ranks.len()).collect();
    // In every other order some ranks lag behind, the slowest until nobody else can go on.
    let lag: Vec<usize> = turns.iter().map(|_| if order % 2 == 1 { model.dice.roll(4) } else { 0 }).collect();
    loop {
        model.dice.shuffle(&mut turns);
        let mut moved = false;
        for slowest in 0..4 {
            for &rank in turns.iter().filter(|&&rank| lag[rank] == slowest) {
                // Now and then one runs ahead of the others.
                let most = if model.dice.one_in(4) { usize::MAX } else { 1 };
                moved |= (0..most).take_while(|_| model.turn(rank)).count() > 0;
            }
            if moved {
                break;
            }
        }
        if !moved {
            break;
        }
    }
    let ends = (0..model.ranks.len()).map(|rank| match model.ranks[rank].end.take() {
        Some(end) => end,
        None => End::Stuck(model.halt(rank)),
    });
    Outcome { ends: ends.collect() }
}

impl Model<'_> {
    /// Whether the rank could do something.
    fn turn(&mut self, rank: usize) -> bool {
        if self.ranks[rank].end.is_some() {
            return false;
        }
        let Some(step) = self.program.steps[rank].get(self.ranks[rank].at) else {
            self.give_up(rank);
            self.ranks[rank].end = Some(End::Returned);
            return true;
        };
        if !std::mem::replace(&mut self.ranks[rank].entered, true) {
            self.enter(rank, step);
            return true;
        }
        match self.go_on(rank, step) {
            Ok(true) => {
                let this = &mut self.ranks[rank];
                (this.at, this.entered) = (this.at + 1, false);
                this.under_way.clear();
                true
            }
            Ok(false) => false,
            Err(failure) => {
                let halt = self.halt(rank);
                self.ranks[rank].end = Some(End::Failed(failure, halt));
                true
            }
        }
    }

    /// What a step starts at once.
    fn enter(&mut self, rank: usize, step: &Step) {
        let insists = |model: &Self, side: &Side, mode| match mode {
            Mode::Buffered => false,
            Mode::Synchronous => true,
            Mode::ByValue => model.program.checked,
            Mode::Standard => model.program.checked || side.bytes > 64 << 10,
        };
        match step {
            Step::Send(side, mode) => {
                let waits = insists(self, side, *mode);
                let handle = self.send(rank, *side, waits);
                self.ranks[rank].under_way = vec![handle];
            }
            Step::StartSend(side, mode, number, _) => {
                let waits = insists(self, side, *mode);
                let handle = self.send(rank, *side, waits);
                self.ranks[rank].numbers.insert(*number, vec![handle]);
            }
            Step::Recv(side, Look::Not) => self.ranks[rank].under_way = vec![self.post(rank, *side)],
            Step::Recv(..) => {}
            Step::StartRecv(side, number, _) => {
                let handle = self.post(rank, *side);
                self.ranks[rank].numbers.insert(*number, vec![handle]);
            }
            Step::Exchange(out, into) => {
                let receive = self.post(rank, *into);
                let waits = insists(self, out, Mode::Standard);
                let send = self.send(rank, *out, waits);
                self.ranks[rank].under_way = vec![receive, send];
            }
            Step::Collect(collective) => self.call(rank, collective.comm, false, claim(collective)),
            Step::StartCollect(collective, number) => {
                self.call(rank, collective.comm, true, claim(collective));
                let nth = self.calls[&(collective.comm, rank, true)].len();
                let handle = Handle { id: 0, what: Started::Collect(*collective, nth) };
                self.ranks[rank].numbers.insert(*number, vec![handle]);
            }
            Step::Neighbors => self.call(rank, RING, false, ("neighbors", None, 0, 0)),
            Step::Fence => self.call(rank, WINDOW, false, ("fence", None, 0, 0)),
            Step::Share(..) => self.call(rank, WINDOW, false, ("share", None, 0, 0)),
            Step::Wait(numbers, _) => {
                let this = &mut self.ranks[rank];
                this.under_way = numbers.iter().filter_map(|n| this.numbers.remove(n)).flatten().collect();
            }
            Step::Pause(..) => {}
        }
    }

    /// Whether the step is over.
    fn go_on(&mut self, rank: usize, step: &Step) -> Result<bool, Failure> {
        match step {
            Step::Recv(side, look) if *look != Look::Not => {
                // Found and received at once: nobody else takes it in between.
                let Some(at) = self.first(rank, side) else { return Ok(false) };
                let mail = self.mail.entry((side.comm, rank)).or_default().remove(at);
                self.over.insert(mail.id, mail.bytes);
                if mail.bytes > side.bytes { Err(Failure::Truncated) } else { Ok(true) }
            }
            Step::Send(..) | Step::Recv(..) | Step::Exchange(..) => self.all_over(rank),
            Step::Collect(collective) => self.met(rank, collective.comm, false, None),
            Step::Neighbors => {
                let nth = self.calls[&(RING, rank, false)].len();
                Ok(self.absent(rank, RING, false, nth, &self.next_to(rank)).is_empty())
            }
            Step::Fence | Step::Share(..) => self.met(rank, WINDOW, false, None),
            Step::Wait(numbers, How::Once) => {
                let handles = self.ranks[rank].under_way.clone();
                let Some(at) = self.ready(rank, &handles)? else { return Ok(handles.is_empty()) };
                let this = &mut self.ranks[rank];
                this.under_way.remove(at);
                let rest = std::mem::take(&mut this.under_way);
                this.numbers.insert(numbers[0], rest);
                Ok(true)
            }
            Step::Wait(..) => self.all_over(rank),
            Step::StartSend(..) | Step::StartRecv(..) | Step::StartCollect(..) | Step::Pause(..) => Ok(true),
        }
    }

    fn all_over(&mut self, rank: usize) -> Result<bool, Failure> {
        while let Some(at) = self.ready(rank, &self.ranks[rank].under_way.clone())? {
            self.ranks[rank].under_way.remove(at);
        }
        Ok(self.ranks[rank].under_way.is_empty())
    }

    /// The first of these that is over.
    fn ready(&self, rank: usize, handles: &[Handle]) -> Result<Option<usize>, Failure> {
        for (at, handle) in handles.iter().enumerate() {
            if self.is_over(rank, handle)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn is_over(&self, rank: usize, handle: &Handle) -> Result<bool, Failure> {
        match handle.what {
            Started::Send(_, waits) => Ok(!waits || self.over.contains_key(&handle.id)),
            Started::Recv(side) => match self.over.get(&handle.id) {
                Some(&bytes) if bytes > side.bytes => Err(Failure::Truncated),
                came => Ok(came.is_some()),
            },
            Started::Collect(collective, nth) => self.met(rank, collective.comm, true, Some(nth)),
        }
    }

    fn id(&mut self) -> usize {
        self.ids += 1;
        self.ids
    }

    fn send(&mut self, from: usize, side: Side, waits: bool) -> Handle {
        let (to, tag, bytes) = (side.peer.unwrap_or_default(), side.tag.unwrap_or_default(), side.bytes);
        let mail = Mail { id: self.id(), from, tag, bytes };
        let id = mail.id;
        let posts = self.posts.entry((side.comm, to)).or_default();
        match posts.iter().position(|post| fits(&post.side, &mail)) {
            Some(at) => {
                let post = posts.remove(at);
                self.over.insert(post.id, bytes);
                self.over.insert(id, bytes);
            }
            None => self.mail.entry((side.comm, to)).or_default().push(mail),
        }
        Handle { id, what: Started::Send(side, waits) }
    }

    fn first(&self, rank: usize, side: &Side) -> Option<usize> {
        self.mail.get(&(side.comm, rank))?.iter().position(|mail| fits(side, mail))
    }

    fn post(&mut self, rank: usize, side: Side) -> Handle {
        let id = self.id();
        match self.first(rank, &side) {
            Some(at) => {
                let mail = self.mail.entry((side.comm, rank)).or_default().remove(at);
                self.over.insert(id, mail.bytes);
                self.over.insert(mail.id, mail.bytes);
            }
            None => self.posts.entry((side.comm, rank)).or_default().push(Post { id, side }),
        }
        Handle { id, what: Started::Recv(side) }
    }

    fn call(&mut self, rank: usize, comm: usize, later: bool, claim: Claim) {
        let started = self.calls.get(&(comm, rank, true)).map_or(0, Vec::len);
        // Blocking calls meet with as many started before on every rank.
        let claim = if later { claim } else { (claim.0, claim.1, claim.2, started) };
        self.calls.entry((comm, rank, later)).or_default().push(claim);
    }

    /// Whether all have come to that call (the rank's last one); they must make the same one.
    fn met(&self, rank: usize, comm: usize, later: bool, nth: Option<usize>) -> Result<bool, Failure> {
        let members = &self.program.members[comm];
        let nth = nth.unwrap_or_else(|| self.calls[&(comm, rank, later)].len());
        if !self.absent(rank, comm, later, nth, members).is_empty() {
            return Ok(false);
        }
        let claim = |member: usize| self.calls[&(comm, member, later)][nth - 1];
        match members.iter().all(|&member| claim(member) == claim(rank)) {
            true => Ok(true),
            false => Err(Failure::Mismatch),
        }
    }

    fn absent(&self, rank: usize, comm: usize, later: bool, nth: usize, whom: &[usize]) -> Vec<usize> {
        let made = |member: usize| self.calls.get(&(comm, member, later)).map_or(0, Vec::len);
        whom.iter().copied().filter(|&member| member != rank && made(member) < nth).collect()
    }

    fn next_to(&self, rank: usize) -> Vec<usize> {
        let n = self.ranks.len();
        vec![(rank + 1) % n, (rank + n - 1) % n]
    }

    /// A rank that returns takes back what it has not waited for, unless it is too late.
    fn give_up(&mut self, rank: usize) {
        let handles: Vec<Handle> =
            self.ranks[rank].numbers.drain().flat_map(|(_, handles)| handles).collect();
        for handle in handles {
            match handle.what {
                Started::Recv(side) => {
                    self.posts.entry((side.comm, rank)).or_default().retain(|post| post.id != handle.id);
                }
                // A message that nobody waits for may be on its way.
                Started::Send(side, waits) if waits || self.dice.one_in(2) => {
                    let to = side.peer.unwrap_or_default();
                    self.mail.entry((side.comm, to)).or_default().retain(|mail| mail.id != handle.id);
                }
                Started::Send(..) | Started::Collect(..) => {}
            }
        }
    }

    /// What the rank waits for where it stands.
    fn halt(&self, rank: usize) -> Halt {
        let this = &self.ranks[rank];
        let step = &self.program.steps[rank][this.at.min(self.program.steps[rank].len() - 1)];
        let others = |comm: usize| -> Vec<usize> {
            self.program.members[comm].iter().copied().filter(|&member| member != rank).collect()
        };
        let from = |side: &Side| match side.peer {
            Some(peer) => vec![peer],
            None => others(side.comm),
        };
        let call = |call, words, whom| Halt { call, words, whom, any: false };
        match step {
            Step::Send(side, mode) => {
                let name = match mode {
                    Mode::Synchronous => "ssend",
                    Mode::ByValue => "send_vec",
                    Mode::Standard | Mode::Buffered => "send",
                };
                call(name, vec![message("to", side)], from(side))
            }
            Step::Recv(side, look) => {
                let name = match look {
                    Look::Not => "recv",
                    Look::Probe => "probe",
                    Look::Matched => "mprobe",
                };
                Halt { any: side.peer.is_none(), ..call(name, vec![message("from", side)], from(side)) }
            }
            Step::Collect(collective) => {
                let nth = self.calls[&(collective.comm, rank, false)].len();
                let members = &self.program.members[collective.comm];
                let root = collective.call.has_root().then(|| format!("root {}", collective.root));
                let absent = self.absent(rank, collective.comm, false, nth, members);
                call(collective.call.name(), root.into_iter().collect(), absent)
            }
            Step::Neighbors => {
                let nth = self.calls[&(RING, rank, false)].len();
                call("neighbor", Vec::new(), self.absent(rank, RING, false, nth, &self.next_to(rank)))
            }
            Step::Fence | Step::Share(..) => {
                let name = if *step == Step::Fence { "fence" } else { "share" };
                let nth = self.calls[&(WINDOW, rank, false)].len();
                call(name, Vec::new(), self.absent(rank, WINDOW, false, nth, &self.program.members[WINDOW]))
            }
            Step::Exchange(..) | Step::Wait(..) => {
                let name = if matches!(step, Step::Wait(..)) { "wait" } else { "sendrecv" };
                let any = matches!(step, Step::Wait(_, How::Any | How::Some | How::Once));
                let mut halt = Halt { any, ..call(name, Vec::new(), Vec::new()) };
                for handle in &this.under_way {
                    match &handle.what {
                        Started::Send(side, _) => {
                            halt.words.push(message("to", side));
                            halt.whom.extend(from(side));
                        }
                        Started::Recv(side) => {
                            halt.words.push(message("from", side));
                            halt.whom.extend(from(side));
                        }
                        Started::Collect(collective, nth) => {
                            let members = &self.program.members[collective.comm];
                            halt.words.push("collective".to_string());
                            halt.whom.extend(self.absent(rank, collective.comm, true, *nth, members));
                        }
                    }
                }
                halt
            }
            Step::StartSend(..) | Step::StartRecv(..) | Step::StartCollect(..) | Step::Pause(..) => {
                call("", Vec::new(), Vec::new())
            }
        }
    }
}

fn claim(collective: &Collective) -> Claim {
    let bytes = match collective.call.name() {
        "barrier" | "reduce" | "scan" => 0,
        _ => collective.bytes,
    };
    (collective.call.name(), collective.call.has_root().then_some(collective.root), bytes, 0)
}

fn fits(side: &Side, mail: &Mail) -> bool {
    side.peer.is_none_or(|peer| peer == mail.from) && side.tag.is_none_or(|tag| tag == mail.tag)
}

/// As a report says it.
fn message(direction: &str, side: &Side) -> String {
    let peer = side.peer.map_or("any rank".to_string(), |peer| peer.to_string());
    match side.tag {
        Some(tag) => format!("{direction} {peer}, tag {tag}"),
        None => format!("{direction} {peer}, any tag"),
    }
}
