//! Looking at all ranks: what they need becomes a graph, and what it proves is looked at twice.
//!
//! Boards are read one after the other, while their ranks may move. That does no harm: a rank whose epoch is the same at the
//! second look as at the first has stood still in between, and all first looks come before all second ones. So those who
//! are found stuck, and have not moved, were blocked all at the same time, with nothing under way to them.

use super::board::{Board, Context, Life, Members, Seen};
use super::graph::{Node, cores, stuck};
use super::key::{CONTEXTS, Class, Key};
use super::leftovers::astray;
use super::need::{Need, What, Who};
use super::waits::{node, questions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What was seen of a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RankLook {
    pub rank: u32,
    pub epoch: u64,
    pub life: Life,
    /// How long its epoch has been what it is, as its own watch knows.
    pub since: Duration,
    pub call: Option<CallLook>,
}

/// The call it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallLook {
    pub name: String,
    pub place: String,
    /// Whether one of the needs is enough.
    pub any: bool,
    pub needs: Vec<NeedLook>,
    pub contexts: BTreeMap<u64, ContextLook>,
    /// The collective calls it entered last, oldest first.
    pub recent: Vec<RecentLook>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NeedLook {
    pub what: What,
    pub element: u8,
    pub who: Who,
    pub root: Option<u32>,
    /// The communicator's, the same on all of its ranks.
    pub id: u64,
    /// Ranks are those of the communicator.
    pub peer: Option<u32>,
    pub tag: Option<i32>,
    pub number: u64,
    /// Of a collective call that was started for later: which one of these.
    pub nth: Option<u64>,
    /// Whether the call itself has started it, after everything else that its rank has started.
    pub is_last: bool,
    /// Whether a receive with a wildcard may have taken its message.
    pub is_risked: bool,
    /// Where it was started, if not by this call.
    pub origin: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContextLook {
    pub members: Members,
    /// This rank's number in it.
    pub me: u32,
    pub neighbors: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecentLook {
    pub id: u64,
    pub number: u64,
    pub name: String,
    pub place: String,
}

/// What a rank has counted in a communicator, or in all (`None`): about one of its ranks, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Query {
    pub id: Option<u64>,
    pub peer: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Whether more may have been counted than stands here.
    pub unsure: bool,
    pub counts: Vec<CountLook>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountLook {
    pub id: u64,
    pub class: Class,
    pub peer: Option<u32>,
    /// The world's number of that rank.
    pub world: Option<u32>,
    pub tag: Option<i32>,
    pub count: u64,
    pub place: String,
}

/// The most counters of an answer.
const COUNTS: usize = 20_000;

impl Board {
    /// What is to be seen of this rank.
    pub(super) fn look(&self, since: Duration) -> RankLook {
        let Seen { epoch, life, call } = self.read();
        let call = call.map(|inside| {
            let contexts = self.contexts();
            let mut known = BTreeMap::new();
            let mut look = |need: &Need, origin: Option<String>| {
                let context = contexts.get(need.key.context() as usize);
                let id = context.map_or(0, |context| context.id);
                if let Some(context) = context {
                    known.entry(id).or_insert_with(|| ContextLook {
                        me: context
                            .members
                            .iter()
                            .find(|(_, world)| *world as usize == self.rank)
                            .map_or(0, |at| at.0),
                        members: context.members.clone(),
                        neighbors: context.neighbors.clone(),
                    });
                }
                let nth = need.key.nth();
                NeedLook {
                    what: if need.key.context() == CONTEXTS { What::Nothing } else { need.what() },
                    element: need.element_code(),
                    who: need.whom(),
                    root: need.root_rank(),
                    id,
                    peer: if nth.is_some() { None } else { need.key.peer() },
                    tag: if nth.is_some() { None } else { need.key.tag() },
                    number: need.number,
                    nth,
                    is_last: need.is_last(),
                    is_risked: need.is_risked(),
                    origin,
                }
            };
            let needs = match inside.need.is_list() {
                true => inside.list.iter().map(|l| look(&l.need, Some(l.origin.to_string()))).collect(),
                false => vec![look(&inside.need, inside.origin.map(|place| place.to_string()))],
            };
            let mut recent = self.recent();
            recent.sort_by_key(|call| (call.context, call.number));
            let recent = recent.iter().map(|call| RecentLook {
                id: contexts.get(call.context as usize).map_or(0, |context| context.id),
                number: call.number,
                name: call.name.to_string(),
                place: call.place.to_string(),
            });
            CallLook {
                name: inside.name.to_string(),
                place: inside.place.to_string(),
                any: inside.need.what() == What::Any,
                needs,
                contexts: known,
                recent: recent.collect(),
            }
        });
        RankLook { rank: self.rank as u32, epoch, life, since, call }
    }

    /// What this rank has counted.
    pub(super) fn answer(&self, query: Query) -> Answer {
        let contexts = self.contexts();
        let index = query.id.and_then(|id| contexts.iter().position(|context| context.id == id));
        if query.id.is_some() && index.is_none() {
            // One of those that are not counted may be this one.
            return Answer { unsure: contexts.len() as u32 >= CONTEXTS, counts: Vec::new() };
        }
        let about = |key: Key| {
            index.is_none_or(|index| key.context() as usize == index)
                && (query.peer.is_none() || key.peer().is_none() || key.peer() == query.peer)
        };
        let mut answer = Answer { unsure: self.tally.is_full(), counts: Vec::new() };
        for count in self.tally.all().filter(|count| about(count.key) && count.count != 0) {
            if answer.counts.len() == COUNTS {
                answer.unsure = true;
                break;
            }
            let context = contexts.get(count.key.context() as usize);
            let (Some(class), Some(context)) = (count.key.class(), context) else { continue };
            answer.counts.push(CountLook {
                id: context.id,
                class,
                peer: count.key.peer(),
                world: count.key.peer().and_then(|peer| context.members.world(peer)),
                tag: count.key.tag(),
                count: count.count,
                place: count.place.map(|place| place.to_string()).unwrap_or_default(),
            });
        }
        for (key, source, tag) in self.caught().into_iter().filter(|(key, ..)| about(*key)) {
            let taken = Key::new(Class::Strayed, key.context(), Some(source), Some(tag));
            for key in [key.as_class(Class::Found), taken] {
                answer.add(key, &contexts);
            }
        }
        answer
    }
}

impl Answer {
    /// Counts one more.
    fn add(&mut self, key: Key, contexts: &[Context]) {
        let (Some(class), Some(context)) = (key.class(), contexts.get(key.context() as usize)) else {
            return;
        };
        let (id, peer, tag) = (context.id, key.peer(), key.tag());
        let same =
            |count: &&mut CountLook| (count.id, count.class, count.peer, count.tag) == (id, class, peer, tag);
        match self.counts.iter_mut().find(same) {
            Some(count) => count.count = count.count.wrapping_add(1),
            None => {
                let world = peer.and_then(|peer| context.members.world(peer));
                self.counts.push(CountLook { id, class, peer, world, tag, count: 1, place: String::new() });
            }
        }
    }

    pub(super) fn get(&self, class: Class, peer: Option<u32>, tag: Option<i32>) -> u64 {
        let found = self.counts.iter().find(|c| c.class == class && c.peer == peer && c.tag == tag);
        found.map_or(0, |count| count.count)
    }

    pub(super) fn of(&self, class: Class) -> impl Iterator<Item = &CountLook> {
        self.counts.iter().filter(move |count| count.class == class)
    }
}

/// All ranks of the job, wherever they are.
pub(crate) trait Panel {
    /// One look for each rank, in order; of those that cannot be asked, one that says so.
    fn looks(&mut self) -> Vec<RankLook>;
    /// What ranks of the world have counted; of those that cannot be asked, an unsure answer.
    fn ask(&mut self, queries: &[(u32, Query)]) -> Vec<Answer>;
    /// Their epochs, now.
    fn epochs(&mut self, ranks: &[u32]) -> Vec<Option<u64>>;
    /// What each rank has left behind at its end.
    fn left(&mut self) -> Vec<Vec<String>>;
}

/// What looking at all ranks has shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// Whoever is blocked, if anybody is, can be released yet.
    Nothing {
        blocked: bool,
    },
    /// Some have moved between the looks: it pays to look again.
    Moving,
    Stuck(Box<Stuck>),
}

/// Ranks that wait for ever, and everything that there is to say about them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stuck {
    pub looks: Vec<RankLook>,
    pub nodes: Vec<Node>,
    pub stuck: Vec<u32>,
    pub cores: Vec<Vec<u32>>,
    pub astray: Vec<Astray>,
}

impl Stuck {
    /// Whether a rank has failed or is gone.
    pub(crate) fn fails(&self) -> bool {
        self.looks.iter().any(|look| matches!(look.life, Life::Failed | Life::Lost))
    }
}

/// Messages to a rank that waits for another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Astray {
    /// Ranks of the world.
    pub from: u32,
    pub to: u32,
    pub tag: i32,
    /// Whether they are in the communicator that the rank waits in.
    pub here: bool,
    pub count: u64,
    /// Where the last one was sent.
    pub place: String,
}

/// What ranks have counted, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts(HashMap<(u32, Query), Answer>);

impl Facts {
    /// What rank `of` of the world has counted about `peer`.
    pub(super) fn about(&self, of: u32, id: u64, peer: Option<u32>) -> Option<&Answer> {
        self.0.get(&(of, Query { id: Some(id), peer }))
    }
}

/// Looks once: at the ranks, what they wait for, and what they have counted.
pub(crate) fn survey(panel: &mut dyn Panel) -> (Vec<RankLook>, Vec<Node>, Facts) {
    let looks = panel.looks();
    let queries: Vec<(u32, Query)> =
        looks.iter().flat_map(questions).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let answers = panel.ask(&queries);
    let facts = Facts(queries.into_iter().zip(answers).collect());
    let nodes: Vec<Node> = looks.iter().map(|look| node(look, &looks, &facts)).collect();
    (looks, nodes, facts)
}

/// Looks twice.
pub(crate) fn examine(panel: &mut dyn Panel) -> Finding {
    let (looks, nodes, _) = survey(panel);
    let stuck = stuck(&nodes);
    if stuck.is_empty() {
        return Finding::Nothing { blocked: looks.iter().any(|look| look.call.is_some()) };
    }
    let still = panel.epochs(&stuck);
    if stuck.iter().zip(still).any(|(&rank, epoch)| epoch != Some(looks[rank as usize].epoch)) {
        return Finding::Moving;
    }
    let cores = cores(&nodes, &stuck);
    let astray = astray(&looks, &cores, panel);
    Finding::Stuck(Box::new(Stuck { looks, nodes, stuck, cores, astray }))
}

/// The needs of a rank that is in a call, with their communicators.
pub(super) fn needs(look: &RankLook) -> impl Iterator<Item = (&NeedLook, &ContextLook)> {
    look.call
        .iter()
        .flat_map(|call| call.needs.iter().filter_map(|need| Some((need, call.contexts.get(&need.id)?))))
}
