//! What a person sees who looks at a running job: a line a rank.

use super::board::{Board, Life};
use super::graph::{Node, Wait};
use super::key::Class;
use super::look::RankLook;
use super::report::{doing, ranks};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A rank of a running job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankView {
    /// In the world.
    pub rank: u32,
    /// The node it runs on.
    pub node: String,
    /// `running`, `returned`, `failed`, `lost` (its process is gone) or `unseen` (it could not be asked).
    pub life: Life,
    /// Whether it is in a call that needs other ranks.
    pub blocked: bool,
    /// The call it is in and what that needs; `computing` outside of calls.
    pub doing: String,
    /// The call's source line; outside of calls, that of the last one.
    pub place: String,
    /// Seconds since it came there.
    pub since: f64,
    /// The ranks that could release it; none if that is not known.
    pub waiting_on: Vec<u32>,
    /// Messages it has sent, and their bytes.
    pub messages: u64,
    /// See `messages`.
    pub bytes: u64,
    /// The time step that it is in, where the job has steps.
    pub step: Option<u64>,
}

/// What a rank's own process knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub node: String,
    pub messages: u64,
    pub bytes: u64,
    pub step: Option<u64>,
    /// The source line of its last call.
    pub place: String,
    /// Communicators and windows that it has, and where it got them.
    pub open: Vec<String>,
}

impl Board {
    /// What this rank has sent to each rank of the world: its number, messages, bytes; sorted.
    pub(crate) fn sent_to(&self) -> Vec<(u32, u64, u64)> {
        let contexts = self.contexts();
        let mut sent: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for count in self.tally.all().filter(|count| count.key.class() == Some(Class::Sent)) {
            let context = contexts.get(count.key.context() as usize);
            let to = context.zip(count.key.peer()).and_then(|(context, peer)| context.members.world(peer));
            if let Some(to) = to {
                let (messages, bytes) = sent.entry(to).or_default();
                (*messages, *bytes) = (*messages + count.count, *bytes + count.bytes);
            }
        }
        sent.into_iter().map(|(to, (messages, bytes))| (to, messages, bytes)).collect()
    }

    /// What this rank has done so far.
    pub(super) fn totals(&self, node: &str) -> Totals {
        let sent = self.tally.all().filter(|count| count.key.class() == Some(Class::Sent));
        let (messages, bytes) = sent.fold((0, 0), |(n, b), count| (n + count.count, b + count.bytes));
        let contexts = self.contexts();
        let open = contexts.iter().filter(|context| context.live).filter_map(|context| context.origin);
        Totals {
            node: node.to_string(),
            messages,
            bytes,
            step: self.step(),
            place: self.last_place().map(|place| place.to_string()).unwrap_or_default(),
            open: open.map(|(name, place)| format!("{name} ({place})")).collect(),
        }
    }
}

/// The lines of all ranks, those in trouble first: gone ones, then blocked ones, the longest first.
pub(crate) fn views(looks: &[RankLook], nodes: &[Node], totals: &[Totals]) -> Vec<RankView> {
    let mut views: Vec<RankView> = looks
        .iter()
        .zip(nodes)
        .zip(totals)
        .map(|((look, node), totals)| {
            let mut waiting_on = Vec::new();
            if let Node::Waiting(wait) = node {
                wait.ranks(&mut waiting_on);
            }
            waiting_on.sort_unstable();
            waiting_on.dedup();
            RankView {
                rank: look.rank,
                node: totals.node.clone(),
                life: look.life,
                blocked: matches!(node, Node::Waiting(wait) if *wait != Wait::Nothing),
                doing: doing(look),
                place: look.call.as_ref().map_or(&totals.place, |call| &call.place).clone(),
                since: look.since.as_secs_f64(),
                waiting_on,
                messages: totals.messages,
                bytes: totals.bytes,
                step: totals.step,
            }
        })
        .collect();
    let trouble = |view: &RankView| match view.life {
        Life::Lost | Life::Failed => 0,
        Life::Unseen => 1,
        Life::Running if view.blocked => 2,
        Life::Running => 3,
        Life::Returned => 4,
    };
    views.sort_by(|a, b| {
        trouble(a).cmp(&trouble(b)).then(b.since.total_cmp(&a.since)).then(a.rank.cmp(&b.rank))
    });
    views
}

/// Whether others wait for a rank that computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lateness {
    Nobody,
    /// One that will be late if it makes no call for so long.
    Soon(Duration),
    /// Of those that have made none for longer than the patience, the one that has made none for the longest time, and who
    /// waits for it, in words.
    Late(String),
}

/// Who is late.
pub(crate) fn late(views: &[RankView], patience: Duration) -> Lateness {
    let waits_for = |rank: u32| views.iter().filter(move |view| view.waiting_on.contains(&rank));
    let computes = |view: &&RankView| view.life == Life::Running && !view.blocked;
    let late = views
        .iter()
        .filter(computes)
        .filter(|view| waits_for(view.rank).next().is_some())
        .max_by(|a, b| a.since.total_cmp(&b.since));
    let Some(late) = late else { return Lateness::Nobody };
    let left = patience.saturating_sub(Duration::try_from_secs_f64(late.since).unwrap_or_default());
    if !left.is_zero() {
        return Lateness::Soon(left);
    }
    let mut waiting: Vec<u32> = waits_for(late.rank).map(|view| view.rank).collect();
    waiting.sort_unstable();
    let place = if late.place.is_empty() { String::new() } else { format!(", after {}", late.place) };
    let verb = if waiting.len() == 1 { "waits" } else { "wait" };
    Lateness::Late(format!(
        "rank {} still computing since {:.0} s{place}; {} {verb} for it",
        late.rank,
        late.since,
        ranks(&waiting)
    ))
}
