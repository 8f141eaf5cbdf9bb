//! Looking at all ranks: what they need becomes a graph, and what it proves is looked at twice.
//!
//! Boards are read one after the other, while their ranks may move. That does no harm: a rank whose epoch is the same at the
//! second look as at the first has stood still in between, and all first looks come before all second ones. So those who
//! are found stuck, and have not moved, were blocked all at the same time, with nothing under way to them.

use super::board::{Board, Life, Members, Seen};
use super::graph::{Node, Wait, cores, stuck};
use super::key::{CONTEXTS, Class, Key};
use super::need::{Need, What, Who};
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
                NeedLook {
                    what: if need.key.context() == CONTEXTS { What::Nothing } else { need.what() },
                    element: need.element_code(),
                    who: need.whom(),
                    root: need.root_rank(),
                    id,
                    peer: need.key.peer(),
                    tag: need.key.tag(),
                    number: need.number,
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
        answer
    }
}

impl Answer {
    fn get(&self, class: Class, peer: Option<u32>, tag: Option<i32>) -> u64 {
        let found = self.counts.iter().find(|c| c.class == class && c.peer == peer && c.tag == tag);
        found.map_or(0, |count| count.count)
    }

    fn of(&self, class: Class) -> impl Iterator<Item = &CountLook> {
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
    fn about(&self, of: u32, id: u64, peer: Option<u32>) -> Option<&Answer> {
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

/// What must be asked to know whether a rank's needs can be met.
fn questions(look: &RankLook) -> Vec<(u32, Query)> {
    let mut all = Vec::new();
    for (need, context) in needs(look) {
        let (id, me) = (need.id, Some(context.me));
        let world = |peer: u32| context.members.world(peer);
        let mut ask =
            |rank: Option<u32>, peer| all.extend(rank.map(|rank| (rank, Query { id: Some(id), peer })));
        match need.what {
            What::Message | What::Probe => {
                ask(Some(look.rank), None);
                match need.peer {
                    Some(peer) => ask(world(peer), me),
                    None => context.members.iter().for_each(|(_, rank)| ask(Some(rank), me)),
                }
            }
            What::Receiver => {
                ask(Some(look.rank), need.peer);
                ask(need.peer.and_then(world), me);
            }
            What::Collective | What::SharedLock | What::ExclusiveLock => {
                context.members.iter().for_each(|(_, rank)| ask(Some(rank), None));
            }
            What::Neighbors => context.neighbors.iter().for_each(|&peer| ask(world(peer), None)),
            What::Nothing | What::All | What::Any => {}
        }
    }
    all
}

fn node(look: &RankLook, looks: &[RankLook], facts: &Facts) -> Node {
    match (look.life, &look.call) {
        (Life::Returned | Life::Failed | Life::Lost, _) => Node::Gone,
        (Life::Unseen, _) | (Life::Running, None) => Node::Live,
        (Life::Running, Some(call)) => {
            let waits = call.needs.iter().map(|need| match call.contexts.get(&need.id) {
                Some(context) => wait(look, need, context, looks, facts).unwrap_or(Wait::Nothing),
                None => Wait::Nothing,
            });
            let mut waits: Vec<Wait> = waits.collect();
            match (waits.len(), call.any) {
                (1, _) => Node::Waiting(waits.remove(0)),
                (_, true) => Node::Waiting(Wait::Any(waits)),
                (_, false) => Node::Waiting(Wait::All(waits)),
            }
        }
    }
}

/// How one need can be met; `None` where that is not known.
fn wait(
    look: &RankLook,
    need: &NeedLook,
    context: &ContextLook,
    looks: &[RankLook],
    facts: &Facts,
) -> Option<Wait> {
    let (id, me) = (need.id, context.me);
    let there = |met: bool, otherwise: Wait| if met { Wait::Nothing } else { otherwise };
    let sure = |answer: &Answer| (!answer.unsure).then_some(());
    match need.what {
        What::Nothing | What::All | What::Any => Some(Wait::Nothing),
        What::Message | What::Probe
            if need.peer.is_none() || need.tag.is_none() || need.what == What::Probe =>
        {
            let unmatched = unmatched(look.rank, need, context, facts)?;
            // Receives with the same wildcards that were started before take what comes first.
            let own = facts.about(look.rank, id, None)?;
            let before = match need.what {
                What::Message => {
                    need.number.saturating_sub(own.get(Class::Found, need.peer, need.tag)).max(1)
                }
                _ => 1,
            };
            let senders = match need.peer {
                Some(peer) => vec![Wait::For(context.members.world(peer)?)],
                None => context
                    .members
                    .iter()
                    .filter(|(peer, _)| *peer != me)
                    .map(|(_, rank)| Wait::For(rank))
                    .collect(),
            };
            Some(there(unmatched >= before, Wait::Any(senders)))
        }
        What::Message | What::Probe => {
            let (peer, sender) = (need.peer?, context.members.world(need.peer?)?);
            let (own, sent) = (facts.about(look.rank, id, None)?, facts.about(sender, id, Some(me))?);
            sure(own)?;
            sure(sent)?;
            let strayed = own.get(Class::Strayed, Some(peer), need.tag);
            let sent = sent.get(Class::Sent, Some(me), need.tag);
            // Counted modulo 2^64, because what was taken back is counted as less.
            let left = sent.wrapping_sub(strayed) as i64;
            Some(there(need.number == 0 || left >= need.number as i64, Wait::For(sender)))
        }
        What::Receiver => {
            let receiver = context.members.world(need.peer?)?;
            let theirs = facts.about(receiver, id, Some(me))?;
            sure(theirs)?;
            let taken = theirs.get(Class::Wanted, Some(me), need.tag).wrapping_add(theirs.get(
                Class::Strayed,
                Some(me),
                need.tag,
            )) as i64;
            let wild = theirs.of(Class::Wanted).any(|wanted| {
                let matches = (wanted.peer.is_none() || wanted.peer == Some(me))
                    && (wanted.tag.is_none() || wanted.tag == need.tag);
                let exact = wanted.peer.is_some() && wanted.tag.is_some();
                matches && !exact && wanted.count > theirs.get(Class::Found, wanted.peer, wanted.tag)
            });
            Some(there(need.number == 0 || taken >= need.number as i64 || wild, Wait::For(receiver)))
        }
        What::Collective => {
            let needed = |peer: u32| match need.who {
                Who::Nobody => false,
                Who::All => true,
                Who::Root => need.root == Some(peer),
                Who::Lower => peer < me,
            };
            missing(
                need,
                look,
                context.members.iter().filter(|(peer, _)| *peer != me && needed(*peer)),
                looks,
                facts,
            )
        }
        What::Neighbors => {
            let neighbors =
                context.neighbors.iter().filter_map(|&peer| Some((peer, context.members.world(peer)?)));
            missing(need, look, neighbors.filter(|(peer, _)| *peer != me), looks, facts)
        }
        What::SharedLock | What::ExclusiveLock => {
            let mut holders = Vec::new();
            for (peer, rank) in context.members.iter().filter(|(peer, _)| *peer != me) {
                let _ = peer;
                let theirs = facts.about(rank, id, None)?;
                sure(theirs)?;
                let stands_in_the_way = theirs.of(Class::Held).any(|held| {
                    held.peer == need.peer
                        && (held.tag == Some(EXCLUSIVE) || need.what == What::ExclusiveLock)
                });
                if stands_in_the_way {
                    holders.push(Wait::For(rank));
                }
            }
            Some(there(holders.is_empty(), Wait::All(holders)))
        }
    }
}

/// The tags under which locks are counted.
pub(crate) const SHARED: i32 = 1;
pub(crate) const EXCLUSIVE: i32 = 2;

/// Those who have not entered the collective call, or another one in its place.
fn missing(
    need: &NeedLook,
    of: &RankLook,
    whom: impl Iterator<Item = (u32, u32)>,
    looks: &[RankLook],
    facts: &Facts,
) -> Option<Wait> {
    if need.number == 0 {
        return None;
    }
    let mut absent = Vec::new();
    for (_, rank) in whom {
        let theirs = facts.about(rank, need.id, None)?;
        if theirs.unsure {
            return None;
        }
        let entered = theirs.get(Class::Entered, None, None);
        if entered < need.number
            || looks.get(rank as usize).is_some_and(|look| other_call(need, of, look).is_some())
        {
            absent.push(Wait::For(rank));
        }
    }
    Some(if absent.is_empty() { Wait::Nothing } else { Wait::All(absent) })
}

/// The other call that a rank makes where it should make this one of rank `of`.
pub(super) fn other_call<'l>(need: &NeedLook, of: &RankLook, look: &'l RankLook) -> Option<&'l NeedLook> {
    let collective = |need: &NeedLook| matches!(need.what, What::Collective | What::Neighbors);
    needs(look).map(|(theirs, _)| theirs).find(|theirs| {
        collective(need)
            && collective(theirs)
            && (theirs.id, theirs.number) == (need.id, need.number)
            && ((theirs.what, theirs.root, theirs.tag) != (need.what, need.root, need.tag)
                // A rank may no longer remember the name.
                || named(theirs, look).zip(named(need, of)).is_some_and(|(one, other)| one != other))
    })
}

/// The name of a collective call that a rank has entered, as far as it remembers.
pub(super) fn named<'l>(need: &NeedLook, look: &'l RankLook) -> Option<&'l str> {
    let recent = &look.call.as_ref()?.recent;
    let call = recent.iter().find(|recent| (recent.id, recent.number) == (need.id, need.number))?;
    Some(&call.name)
}

/// How many messages there are that a receive or probe of this pattern could take and that no started receive has. `None` if
/// that is not known.
fn unmatched(receiver: u32, need: &NeedLook, context: &ContextLook, facts: &Facts) -> Option<u64> {
    let own = facts.about(receiver, need.id, None)?;
    if own.unsure {
        return None;
    }
    let mut total = 0;
    for (peer, rank) in
        context.members.iter().filter(|(peer, _)| need.peer.is_none_or(|wanted| wanted == *peer))
    {
        let theirs = facts.about(rank, need.id, Some(context.me))?;
        if theirs.unsure {
            return None;
        }
        for sent in theirs.of(Class::Sent).filter(|sent| sent.peer == Some(context.me)) {
            if need.tag.is_none_or(|tag| sent.tag == Some(tag)) {
                let taken = own.get(Class::Wanted, Some(peer), sent.tag).wrapping_add(own.get(
                    Class::Strayed,
                    Some(peer),
                    sent.tag,
                ));
                total += (sent.count.wrapping_sub(taken) as i64).max(0) as u64;
            }
        }
    }
    Some(total)
}

/// Messages to the ranks at the core that they have never asked for, from those that they wait for.
fn astray(looks: &[RankLook], cores: &[Vec<u32>], panel: &mut dyn Panel) -> Vec<Astray> {
    let mut all = std::collections::BTreeSet::new();
    for &rank in cores.iter().flatten().take(ASKED) {
        let look = &looks[rank as usize];
        let waits = needs(look).filter(|(need, _)| matches!(need.what, What::Message | What::Probe));
        for (need, context) in waits {
            let senders: Vec<u32> = match need.peer {
                Some(peer) => context.members.world(peer).into_iter().collect(),
                None => context.members.iter().map(|(_, rank)| rank).take(ASKED).collect(),
            };
            let everything = Query { id: None, peer: None };
            let questions: Vec<(u32, Query)> =
                std::iter::once(rank).chain(senders.iter().copied()).map(|rank| (rank, everything)).collect();
            let answers = panel.ask(&questions);
            let Some((own, theirs)) = answers.split_first() else { continue };
            for (from, sent) in senders
                .iter()
                .zip(theirs)
                .flat_map(|(&from, theirs)| theirs.of(Class::Sent).map(move |sent| (from, sent)))
            {
                let taken = |class| {
                    let same =
                        own.of(class).find(|c| c.id == sent.id && c.world == Some(from) && c.tag == sent.tag);
                    same.map_or(0, |count| count.count)
                };
                let left =
                    sent.count.wrapping_sub(taken(Class::Wanted)).wrapping_sub(taken(Class::Strayed)) as i64;
                if let (Some(to), Some(tag), true) = (sent.world, sent.tag, left > 0)
                    && to == rank
                {
                    let here = sent.id == need.id;
                    all.insert(Astray { from, to, tag, here, count: left as u64, place: sent.place.clone() });
                }
            }
        }
    }
    all.into_iter().collect()
}

/// The most ranks that are asked what they have sent that nobody has taken.
const ASKED: usize = 16;

/// What ranks that have all returned have left: messages that nobody has received, and what each of them did not end.
pub(crate) fn leftovers(panel: &mut dyn Panel) -> Vec<String> {
    let looks = panel.looks();
    let everything = Query { id: None, peer: None };
    let questions: Vec<(u32, Query)> = looks.iter().map(|look| (look.rank, everything)).collect();
    let answers = panel.ask(&questions);
    let mut taken: HashMap<(u32, u64, Option<u32>, Option<i32>), u64> = HashMap::new();
    for (look, answer) in looks.iter().zip(&answers) {
        for count in answer.of(Class::Wanted).chain(answer.of(Class::Strayed)) {
            let sum = taken.entry((look.rank, count.id, count.world, count.tag)).or_default();
            *sum = sum.wrapping_add(count.count);
        }
    }
    let mut lines = Vec::new();
    for (look, answer) in looks.iter().zip(&answers) {
        for sent in answer.of(Class::Sent) {
            let Some(to) =
                sent.world.filter(|to| answers.get(*to as usize).is_some_and(|theirs| !theirs.unsure))
            else {
                continue;
            };
            let received = taken.get(&(to, sent.id, Some(look.rank), sent.tag)).copied().unwrap_or(0);
            let (left, tag) = (sent.count.wrapping_sub(received) as i64, sent.tag.unwrap_or(0));
            if left > 0 {
                let what = if left == 1 { "a message".to_string() } else { format!("{left} messages") };
                lines.push(format!(
                    "rank {to} has never received {what} from rank {}, tag {tag} ({})",
                    look.rank, sent.place
                ));
            }
        }
    }
    for (look, left) in looks.iter().zip(panel.left()) {
        lines.extend(left.iter().map(|what| format!("rank {} has never ended {what}", look.rank)));
    }
    lines
}
