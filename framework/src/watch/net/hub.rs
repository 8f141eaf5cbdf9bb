//! The thread that looks at all ranks: at boards of its own process, and by asking members for the others'.

use super::super::board::{Board, Life};
use super::super::clocks::{Clocks, pace};
use super::super::look::{Answer, Finding, Panel, Query, RankLook, examine, survey};
use super::super::view::{Lateness, Totals, late, views};
use super::super::{Settings, leftovers, report};
use super::answer::answer;
use super::host::{Event, Host};
use super::talk::{Order, Question, Reply, Word};
use super::{Endpoint, Secret};
use crate::error::Error;
use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where findings go.
pub(crate) struct Outlets {
    /// The job cannot go on.
    pub stuck: Box<dyn Fn(Error) + Send>,
    /// What a person should know.
    pub told: Box<dyn Fn(String) + Send>,
}

/// The handle of the thread; it ends when this is dropped.
pub(crate) struct Hub {
    boards: Arc<[Arc<Board>]>,
    thread: Option<JoinHandle<()>>,
    wake: UnixStream,
    shared: Arc<Shared>,
    doors: Mutex<Sender<DoorRequest>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// All ranks have returned, and what they left has been told.
    ended: AtomicBool,
    /// All ranks have returned, also those that could not say so.
    returned: AtomicBool,
    /// Who wants to know whom the others are waiting for.
    listener: Mutex<Option<Listener>>,
}

/// Is told which rank others wait for that computes for long, and that nobody does any more; from the watch's thread.
pub(crate) type Listener = Box<dyn Fn(Option<&str>) + Send>;

/// Asks the hub to listen at these addresses, if it does not listen yet.
struct DoorRequest {
    addresses: Vec<IpAddr>,
    answer: Sender<std::io::Result<Endpoint>>,
}

impl Hub {
    /// Starts watching `size` ranks, of which those of `boards` are in this process; the others call at `host`.
    pub fn start(
        boards: Arc<[Arc<Board>]>,
        size: usize,
        node: String,
        settings: Settings,
        host: Option<(Secret, Vec<IpAddr>)>,
        outlets: Outlets,
    ) -> std::io::Result<(Hub, Option<Endpoint>)> {
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (doors, requests) = channel();
        let shared = Arc::new(Shared::default());
        let mut body = Body {
            clocks: Clocks::new(&boards),
            boards: boards.clone(),
            node,
            settings,
            secret: None,
            host: None,
            woken,
            members: vec![None; size],
            lives: vec![None; size],
            seen: vec![false; size],
            events: Vec::new(),
            replies: HashMap::new(),
            viewers: Vec::new(),
            trouble: false,
            over: false,
            noted: false,
            questions: 0,
            began: Instant::now(),
            outlets,
            requests,
            shared: shared.clone(),
        };
        let endpoint = match host {
            Some((secret, addresses)) => Some(body.listen(secret, &addresses)?),
            None => None,
        };
        let thread = std::thread::Builder::new().name("watch".to_string()).spawn(move || body.run())?;
        Ok((Hub { boards, thread: Some(thread), wake, shared, doors: Mutex::new(doors) }, endpoint))
    }

    /// The board of a rank, if it is one of this process.
    pub fn board(&self, rank: u32) -> Option<&Board> {
        self.boards.iter().find(|board| board.rank == rank as usize).map(|board| &**board)
    }

    /// Lets people look at the job, from this machine; where they find it.
    pub fn open_door(&self) -> std::io::Result<Endpoint> {
        let (answer, endpoint) = channel();
        let request = DoorRequest { addresses: super::own_addresses(true), answer };
        let gone = || std::io::Error::other("the watch has ended");
        self.doors.lock().map_err(|_| gone())?.send(request).map_err(|_| gone())?;
        (&self.wake).write_all(&[0])?;
        endpoint.recv_timeout(Duration::from_secs(5)).map_err(|_| gone())?
    }

    /// From now on `listener`, or nobody, is told whom the others are waiting for.
    pub fn listen_for_late_ranks(&self, listener: Option<Listener>) {
        *self.shared.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }

    /// Waits until what all ranks have left has been told; they have returned.
    pub fn wait_for_end(&self) {
        while !self.has_ended() {
            // A thread that is gone needs no waking.
            let _ = (&self.wake).write_all(&[0]);
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Looks at the ranks of this process now: one has returned.
    #[cfg(feature = "mpi")]
    pub fn wake(&self) {
        // A thread that is gone needs no waking.
        let _ = (&self.wake).write_all(&[0]);
    }

    /// All ranks have returned; also one that the watch has lost, and would wait for.
    #[cfg(feature = "mpi")]
    pub fn all_have_returned(&self) {
        self.shared.returned.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether all ranks have returned, and what they left has been told.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire) || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // A thread that is gone needs no waking.
        let _ = (&self.wake).write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How long a job may take to go down after a rank has failed.
const GRACE: Duration = Duration::from_secs(5);

/// How long members have to answer.
const ANSWERS: Duration = Duration::from_millis(900);

/// How long after a look that has shown nothing there is another one, while ranks stay blocked: for what may have been
/// unknown then.
const AGAIN: Duration = Duration::from_secs(20);

/// The same while it is shown whom they wait for.
const AGAIN_NOTED: Duration = Duration::from_secs(2);

struct Body {
    boards: Arc<[Arc<Board>]>,
    clocks: Clocks,
    node: String,
    settings: Settings,
    secret: Option<Secret>,
    host: Option<Host>,
    woken: UnixStream,
    /// The connection of each rank that has called.
    members: Vec<Option<u64>>,
    /// What became of a rank that said so, or whose process has gone.
    lives: Vec<Option<Life>>,
    seen: Vec<bool>,
    events: Vec<Event>,
    replies: HashMap<u64, Reply>,
    viewers: Vec<u64>,
    trouble: bool,
    /// Whether a rank of another process has said that it has returned.
    over: bool,
    /// Whether the listener has been told of a rank.
    noted: bool,
    questions: u64,
    began: Instant,
    outlets: Outlets,
    requests: Receiver<DoorRequest>,
    shared: Arc<Shared>,
}

impl Body {
    fn run(&mut self) {
        let mut again = None;
        let (mut told_unseen, mut failing) = (false, None);
        while !self.shared.stop.load(Ordering::Acquire) {
            self.attend(pace(self.settings.patience));
            let change = self.clocks.tick(&self.boards, self.settings.patience);
            let over = std::mem::take(&mut self.over) || change.over;
            // Where nobody waits nobody asks; those who wait may wait for one that is through now.
            self.trouble |= change.blocked || (over && again.is_some());
            for viewer in std::mem::take(&mut self.viewers) {
                let views = self.views();
                if let Some(host) = &mut self.host {
                    // One that has gone needs no answer.
                    let _ = host.order(viewer, &Order::Shown(views));
                }
            }
            if self.all_returned() && !self.shared.ended.load(Ordering::Acquire) {
                self.end();
            }
            let due = again.is_some_and(|at| Instant::now() >= at);
            if !std::mem::take(&mut self.trouble) && !due {
                continue;
            }
            again = match examine(self) {
                Finding::Nothing { blocked } => {
                    if blocked && !told_unseen {
                        told_unseen = self.tell_unseen();
                    }
                    let again = self.note_late(blocked);
                    blocked.then(|| Instant::now() + again)
                }
                Finding::Moving => Some(Instant::now() + pace(self.settings.patience)),
                // A rank that has failed brings the job down and says why, and a launcher the job of one that is gone; this
                // would only say that others miss it.
                Finding::Stuck(found)
                    if found.fails() && failing.is_none_or(|at: Instant| at.elapsed() < GRACE) =>
                {
                    failing.get_or_insert_with(Instant::now);
                    Some(Instant::now() + pace(self.settings.patience))
                }
                Finding::Stuck(found) => return (self.outlets.stuck)(report::deadlock(&found)),
            };
        }
    }

    fn listen(&mut self, secret: Secret, addresses: &[IpAddr]) -> std::io::Result<Endpoint> {
        let host = Host::new(secret.clone(), addresses)?;
        let endpoint = Endpoint::new(host.addresses(), &secret);
        (self.host, self.secret) = (Some(host), Some(secret));
        Ok(endpoint)
    }

    /// Waits so long for something to happen.
    fn attend(&mut self, patience: Duration) {
        let mut events = std::mem::take(&mut self.events);
        match &mut self.host {
            Some(host) => host.pump(&self.woken, patience, &mut events),
            None => {
                use rustix::event::{PollFd, PollFlags, Timespec, poll};
                let timeout =
                    Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
                // An interrupted poll is one after which nothing is ready.
                let _ = poll(&mut [PollFd::new(&self.woken, PollFlags::IN)], Some(&timeout));
            }
        }
        // Only a waker writes, and only to wake.
        let _ = std::io::Read::read(&mut self.woken, &mut [0; 64]);
        while let Ok(request) = self.requests.try_recv() {
            let endpoint = match (&self.host, &self.secret) {
                (Some(host), Some(secret)) => Ok(Endpoint::new(host.addresses(), secret)),
                _ => Secret::random().and_then(|secret| self.listen(secret, &request.addresses)),
            };
            // Who asked may have stopped waiting.
            let _ = request.answer.send(endpoint);
        }
        for event in events.drain(..) {
            self.note(event);
        }
        self.events = events;
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Said(from, Word::Here(rank)) => {
                let Some(member) = self.members.get_mut(rank as usize) else { return };
                *member = Some(from);
                self.seen[rank as usize] = true;
                // Its connection was lost, not the rank.
                let life = &mut self.lives[rank as usize];
                if *life == Some(Life::Lost) {
                    *life = None;
                }
                if let Some(host) = &mut self.host {
                    host.is_member(from);
                }
            }
            Event::Said(from, Word::Ended(life)) => {
                if let Some(rank) = self.rank_of(from) {
                    self.lives[rank] = Some(life);
                    self.over |= life == Life::Returned;
                }
            }
            Event::Said(from, Word::Blocked) => self.trouble |= self.rank_of(from).is_some(),
            Event::Said(_, Word::Reply(number, reply)) => drop(self.replies.insert(number, reply)),
            Event::Said(from, Word::Show) => self.viewers.push(from),
            Event::Gone(who) => {
                if let Some(rank) = self.rank_of(who) {
                    self.members[rank] = None;
                    // One that has not said that it is through is lost, and others may wait for it.
                    let life = self.lives[rank].get_or_insert(Life::Lost);
                    self.trouble |= *life == Life::Lost;
                }
            }
        }
    }

    fn rank_of(&self, who: u64) -> Option<usize> {
        self.members.iter().position(|member| *member == Some(who))
    }

    fn own(&self, rank: u32) -> Option<&Arc<Board>> {
        self.boards.iter().find(|board| board.rank == rank as usize)
    }

    fn all_returned(&self) -> bool {
        if self.shared.returned.load(Ordering::Acquire) {
            return true;
        }
        let returned = |(rank, life): (usize, &Option<Life>)| match self.own(rank as u32) {
            Some(board) => board.life() == Life::Returned,
            None => *life == Some(Life::Returned) || !self.seen[rank],
        };
        self.lives.iter().enumerate().all(returned)
    }

    /// All have returned: what they left is told.
    fn end(&mut self) {
        let left = leftovers(self);
        if !left.is_empty() {
            (self.outlets.told)(left.join("\n"));
        }
        self.shared.ended.store(true, Ordering::Release);
    }

    /// Tells the listener, if there is one, which rank has computed for long while others wait for it. When to look again.
    fn note_late(&mut self, blocked: bool) -> Duration {
        let patience = self.settings.patience;
        let shared = self.shared.clone();
        let listener = || shared.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener().is_none() {
            return AGAIN.max(patience);
        }
        // Ranks have some time to answer: nobody who ends the listening waits for that.
        let late = if blocked { late(&self.views(), patience) } else { Lateness::Nobody };
        let (note, again) = match late {
            Lateness::Late(note) => (Some(note), AGAIN_NOTED.max(patience)),
            Lateness::Soon(left) => (None, left.max(pace(patience))),
            Lateness::Nobody => (None, AGAIN.max(patience)),
        };
        if note.is_some() || self.noted {
            listener().as_ref().inspect(|tell| tell(note.as_deref()));
        }
        self.noted = note.is_some();
        again
    }

    /// If ranks cannot be asked, that is why nothing is known of those that wait for them. Whether it was told.
    fn tell_unseen(&mut self) -> bool {
        let looks = self.looks();
        // One that has not called yet may be about to.
        let called = |rank: u32| self.seen[rank as usize] || self.began.elapsed() >= GRACE;
        let unseen: Vec<u32> = looks
            .iter()
            .filter(|look| look.life == Life::Unseen && called(look.rank))
            .map(|look| look.rank)
            .collect();
        let blocked: Vec<&RankLook> =
            looks.iter().filter(|look| look.call.is_some() && look.since >= self.settings.patience).collect();
        if unseen.is_empty() || blocked.is_empty() {
            return false;
        }
        let mut text = format!(
            "ranks are blocked, and the watch cannot say whether for ever: {} could not be asked",
            report::ranks(&unseen)
        );
        for look in blocked.iter().take(8) {
            text += &format!("\n  rank {}  {}    {}", look.rank, report::doing(look), report::place(look));
        }
        (self.outlets.told)(text);
        true
    }

    fn views(&mut self) -> Vec<super::RankView> {
        let (looks, nodes, _) = survey(self);
        let questions: Vec<(u32, Question)> =
            (0..looks.len() as u32).map(|rank| (rank, Question::Totals)).collect();
        let totals = self.round(questions).into_iter().map(|reply| match reply {
            Some(Reply::Totals(totals)) => totals,
            _ => Totals::default(),
        });
        views(&looks, &nodes, &totals.collect::<Vec<_>>())
    }

    /// Asks, and waits for all that answer in time; the answers are in the order of the questions.
    fn round(&mut self, questions: Vec<(u32, Question)>) -> Vec<Option<Reply>> {
        let mut numbers = Vec::with_capacity(questions.len());
        let mut answers: Vec<Option<Reply>> = Vec::with_capacity(questions.len());
        for (rank, question) in questions {
            let own = self.own(rank).map(|board| answer(board, &self.node, &self.clocks, question.clone()));
            let mut number = None;
            if own.is_none()
                && let (Some(Some(member)), Some(host)) = (self.members.get(rank as usize), &mut self.host)
            {
                self.questions += 1;
                let order = Order::Answer(self.questions, question);
                number = host.order(*member, &order).is_ok().then_some((self.questions, *member));
            }
            answers.push(own);
            numbers.push(number);
        }
        let start = Instant::now();
        while start.elapsed() < ANSWERS && !self.shared.stop.load(Ordering::Acquire) {
            let open = numbers.iter().flatten().any(|(number, member)| {
                !self.replies.contains_key(number) && self.members.contains(&Some(*member))
            });
            if !open {
                break;
            }
            self.attend(Duration::from_millis(20));
        }
        for (answer, number) in answers.iter_mut().zip(numbers) {
            if let Some((number, _)) = number {
                *answer = self.replies.remove(&number);
            }
        }
        // Answers that came too late are not wanted any more.
        self.replies.clear();
        answers
    }

    /// What is to be said of a rank that cannot be asked.
    fn unasked(&self, rank: u32) -> RankLook {
        let life = self.lives[rank as usize].unwrap_or(Life::Unseen);
        RankLook { rank, epoch: 0, life, since: Duration::ZERO, call: None }
    }
}

impl Panel for Body {
    fn looks(&mut self) -> Vec<RankLook> {
        let questions = (0..self.members.len() as u32).map(|rank| (rank, Question::Look)).collect();
        let replies = self.round(questions);
        let looks = replies.into_iter().enumerate().map(|(rank, reply)| match reply {
            Some(Reply::Looked(look)) if look.rank == rank as u32 => *look,
            _ => self.unasked(rank as u32),
        });
        looks.collect()
    }

    fn ask(&mut self, queries: &[(u32, Query)]) -> Vec<Answer> {
        // One question a rank.
        let mut by_rank: Vec<(u32, Vec<Query>)> = Vec::new();
        let mut places = Vec::with_capacity(queries.len());
        let mut index = HashMap::new();
        for &(rank, query) in queries {
            let at = *index.entry(rank).or_insert_with(|| {
                by_rank.push((rank, Vec::new()));
                by_rank.len() - 1
            });
            places.push((at, by_rank[at].1.len()));
            by_rank[at].1.push(query);
        }
        let ranks: Vec<u32> = by_rank.iter().map(|(rank, _)| *rank).collect();
        let questions = by_rank.into_iter().map(|(rank, queries)| (rank, Question::Count(queries))).collect();
        let replies = self.round(questions);
        let answers: Vec<Vec<Answer>> = replies
            .into_iter()
            .map(|reply| match reply {
                Some(Reply::Counted(answers)) => answers,
                _ => Vec::new(),
            })
            .collect();
        let answer = |&(at, nth): &(usize, usize)| {
            // Who is lost sends nothing more; who does not answer may have sent anything.
            let lost = self.lives.get(ranks[at] as usize).is_some_and(|life| *life == Some(Life::Lost));
            answers[at].get(nth).cloned().unwrap_or(Answer { unsure: !lost, counts: Vec::new() })
        };
        places.iter().map(answer).collect()
    }

    fn epochs(&mut self, ranks: &[u32]) -> Vec<Option<u64>> {
        let replies = self.round(ranks.iter().map(|&rank| (rank, Question::Epoch)).collect());
        let epoch = |reply| match reply {
            Some(Reply::Epoch(epoch)) => Some(epoch),
            _ => None,
        };
        replies.into_iter().map(epoch).collect()
    }

    fn left(&mut self) -> Vec<Vec<String>> {
        let replies = self.round((0..self.members.len() as u32).map(|rank| (rank, Question::Left)).collect());
        let left = |reply| match reply {
            Some(Reply::Left(left)) => left,
            _ => Vec::new(),
        };
        replies.into_iter().map(left).collect()
    }
}
