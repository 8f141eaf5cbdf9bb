//! What has to happen before a blocked rank can go on, from what ranks have counted; how it is asked for is in `look`.

use super::board::Life;
use super::graph::{Node, Wait};
use super::key::Class;
use super::look::{Answer, ContextLook, Facts, NeedLook, Query, RankLook, needs};
use super::need::{What, Who};

/// What must be asked to know whether a rank's needs can be met.
pub(super) fn questions(look: &RankLook) -> Vec<(u32, Query)> {
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
            What::Neighbors => {
                ask(Some(look.rank), None);
                context.neighbors.iter().for_each(|&peer| ask(world(peer), None));
            }
            What::Nothing | What::All | What::Any => {}
        }
    }
    all
}

pub(super) fn node(look: &RankLook, looks: &[RankLook], facts: &Facts) -> Node {
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
            let met = may_be_left(look.rank, need, context, facts)?;
            let senders = match need.peer {
                Some(peer) => vec![Wait::For(context.members.world(peer)?)],
                None => context
                    .members
                    .iter()
                    .filter(|(peer, _)| *peer != me)
                    .map(|(_, rank)| Wait::For(rank))
                    .collect(),
            };
            Some(there(met, Wait::Any(senders)))
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
            let met = left >= need.number as i64 && may_be_left(look.rank, need, context, facts)?;
            Some(there(need.number == 0 || met, Wait::For(sender)))
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
            // Each of those that are open and have a wildcard may have taken one.
            let open = theirs.of(Class::Wanted).filter(|wanted| {
                (wanted.peer.is_none() || wanted.tag.is_none())
                    && (wanted.peer.is_none() || wanted.peer == Some(me))
                    && (wanted.tag.is_none() || wanted.tag == need.tag)
            });
            let open = open.map(|wanted| {
                wanted.count.saturating_sub(theirs.get(Class::Found, wanted.peer, wanted.tag)) as i64
            });
            let met = need.number == 0 || taken.saturating_add(open.sum()) >= need.number as i64;
            Some(there(met, Wait::For(receiver)))
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
    let own = facts.about(of.rank, need.id, None)?;
    if own.unsure {
        return None;
    }
    // Blocking calls meet blocking ones, and those that were started for later meet such: each kind in its own order.
    let nth = need.nth.unwrap_or_else(|| need.number.saturating_sub(own.get(Class::Started, None, None)));
    let mut absent = Vec::new();
    for (_, rank) in whom {
        let theirs = facts.about(rank, need.id, None)?;
        if theirs.unsure {
            return None;
        }
        let (all, later) = (theirs.get(Class::Entered, None, None), theirs.get(Class::Started, None, None));
        let entered = if need.nth.is_some() { later } else { all.saturating_sub(later) };
        if entered < nth || looks.get(rank as usize).is_some_and(|look| other_call(need, of, look).is_some())
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
            && ((theirs.what, theirs.root, theirs.nth.is_some()) != (need.what, need.root, need.nth.is_some())
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

/// Whether a message may be there for a receive or a probe, or under way to it, that no receive started before takes.
///
/// A receive with a wildcard that is open may have taken a message already. A message that the need could have is left only if
/// every open receive that takes it too has got one before: so among the messages of each wider pattern there must be one for
/// each of those, and one more. A receive without a wildcard is counted as having got its message, unless one with a
/// wildcard that was started before may have taken that. `None` if not enough is known.
fn may_be_left(receiver: u32, need: &NeedLook, context: &ContextLook, facts: &Facts) -> Option<bool> {
    let own = facts.about(receiver, need.id, None)?;
    if own.unsure {
        return None;
    }
    let pattern = (need.peer, need.tag);
    // Of all ranks only where the need is of all: else each blocked receive would ask all ranks.
    let wider = if need.tag.is_some() { vec![pattern, (need.peer, None)] } else { vec![pattern] };
    let exact = need.peer.is_some() && need.tag.is_some();
    let before = |(peer, tag): (Option<u32>, Option<i32>)| {
        let (started, over) = (own.get(Class::Wanted, peer, tag), own.get(Class::Found, peer, tag));
        match (need.what == What::Message, (peer, tag) == pattern) {
            (_, true) if exact => 0,
            (true, true) => need.number.saturating_sub(1).saturating_sub(over),
            (true, false) if !need.is_last => 0,
            _ => started.saturating_sub(over),
        }
    };
    // The need itself is not among those that have got theirs.
    let risked = own.get(Class::Risked, None, None).saturating_sub(need.is_risked.into());
    for &(peer, tag) in &wider {
        let among = wider.iter().filter(|(_, t)| tag.is_none() || tag == *t);
        let taken: u64 = among.map(|&among| before(among)).sum();
        if unmatched(receiver, need, (peer, tag), context, facts)? <= taken.saturating_sub(risked) {
            return Some(false);
        }
    }
    Some(true)
}

/// How many messages of a pattern there are that no receive without a wildcard takes, other than the need itself. `None` if that
/// is not known.
fn unmatched(
    receiver: u32,
    need: &NeedLook,
    pattern: (Option<u32>, Option<i32>),
    context: &ContextLook,
    facts: &Facts,
) -> Option<u64> {
    let own = facts.about(receiver, need.id, None)?;
    let mut total = 0;
    for (peer, rank) in
        context.members.iter().filter(|(peer, _)| pattern.0.is_none_or(|wanted| wanted == *peer))
    {
        let theirs = facts.about(rank, need.id, Some(context.me))?;
        if theirs.unsure {
            return None;
        }
        for sent in theirs.of(Class::Sent).filter(|sent| sent.peer == Some(context.me)) {
            if pattern.1.is_none_or(|tag| sent.tag == Some(tag)) {
                let itself = need.what == What::Message && need.peer == Some(peer) && need.tag == sent.tag;
                let wanted = match itself {
                    // Those that were started before it come first.
                    true => need.number.saturating_sub(1),
                    false => own.get(Class::Wanted, Some(peer), sent.tag),
                };
                let taken = wanted.wrapping_add(own.get(Class::Strayed, Some(peer), sent.tag));
                total += (sent.count.wrapping_sub(taken) as i64).max(0) as u64;
            }
        }
    }
    Some(total)
}
