//! What a person reads when ranks wait for ever: who, for whom, at which source lines, and what to do about it.

use super::board::{Life, Members};
use super::graph::{Node, Wait};
use super::look::{Astray, CallLook, ContextLook, NeedLook, RankLook, Stuck, needs};
use super::need::What;
use super::waits::other_call;
use crate::comm::Kind;
use crate::error::{Error, ErrorKind};
use std::fmt::Write;

/// Lines for single ranks; more are said in a sentence.
const LINES: usize = 8;

/// The error that a job ends with whose ranks wait for ever.
pub(crate) fn deadlock(found: &Stuck) -> Error {
    let core: Vec<u32> = found.cores.concat();
    let different = core.iter().find_map(|&rank| different_calls(found, rank));
    let since =
        core.iter().map(|&rank| found.looks[rank as usize].since.as_secs_f64()).fold(f64::INFINITY, f64::min);
    let proof = format!("(proved: blocked {since:.1} s, no message under way)");
    let mut text = match &different {
        Some(_) if core.len() == 1 => format!("{} makes another collective call than others", ranks(&core)),
        Some(_) => format!("{} make different collective calls", ranks(&core)),
        None => found.cores.iter().map(|core| headline(found, core)).collect::<Vec<_>>().join("; "),
    };
    let _ = write!(text, " {proof}");
    lines(found, &core, &mut text);
    also(found, &core, &mut text);
    if let Some(last) = different {
        let _ = write!(text, "\n  {last}");
    }
    for astray in found.astray.iter().take(LINES) {
        let _ = write!(text, "\n  note: {}", said(astray));
    }
    let kind = if core.iter().any(|&rank| different_calls(found, rank).is_some()) {
        ErrorKind::Mismatch
    } else {
        ErrorKind::Deadlock
    };
    Error::new(kind, text).help(help(found, &core, kind))
}

/// What a circle of ranks, or one that waits for nobody alive, has in common.
fn headline(found: &Stuck, core: &[u32]) -> String {
    match core {
        [rank] => alone(found, *rank),
        [_, _] => format!("{} wait for each other", ranks(core)),
        _ => format!("{} wait for each other in a circle", ranks(core)),
    }
}

fn alone(found: &Stuck, rank: u32) -> String {
    let mut whom = Vec::new();
    if let Node::Waiting(wait) = &found.nodes[rank as usize] {
        wait.ranks(&mut whom);
    }
    whom.sort_unstable();
    whom.dedup();
    let ended = |life: Life| {
        whom.iter()
            .copied()
            .filter(|&r| found.looks.get(r as usize).is_some_and(|look| look.life == life))
            .collect::<Vec<_>>()
    };
    let (returned, lost, failed) = (ended(Life::Returned), ended(Life::Lost), ended(Life::Failed));
    let have = |ranks: &[u32]| if ranks.len() == 1 { "has" } else { "have" };
    let is = |ranks: &[u32]| if ranks.len() == 1 { "is" } else { "are" };
    if !lost.is_empty() {
        format!("rank {rank} waits for {}, whose process {} gone", ranks(&lost), is(&[0]))
    } else if !failed.is_empty() {
        format!("rank {rank} waits for {}, which {} failed", ranks(&failed), have(&failed))
    } else if !returned.is_empty() && !whom.contains(&rank) {
        format!("rank {rank} waits for {}, which {} returned", ranks(&returned), have(&returned))
    } else if whom == [rank] {
        format!("rank {rank} waits for itself")
    } else {
        format!("rank {rank} waits for what nobody can do")
    }
}

/// The call in which a rank is, and its source line.
fn lines(found: &Stuck, core: &[u32], text: &mut String) {
    let width = core.iter().take(LINES).map(|rank| rank.to_string().len()).max().unwrap_or(1);
    let calls: Vec<String> =
        core.iter().take(LINES).map(|&rank| doing(&found.looks[rank as usize])).collect();
    let column =
        calls.iter().map(|call| call.chars().count()).filter(|&width| width <= 60).max().unwrap_or(0);
    for (&rank, call) in core.iter().zip(&calls) {
        let place = place(&found.looks[rank as usize]);
        let _ = write!(text, "\n  rank {rank:<width$}  {call:<column$}    {place}");
    }
    if core.len() > LINES {
        let _ = write!(text, "\n  and {} alike", ranks(&core[LINES..]));
    }
}

/// Those that wait for the core, those in the same call together.
fn also(found: &Stuck, core: &[u32], text: &mut String) {
    let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
    for &rank in found.stuck.iter().filter(|rank| !core.contains(rank)) {
        let look = &found.looks[rank as usize];
        let call = format!("{} ({})", doing(look), place(look));
        match groups.iter_mut().find(|(known, _)| *known == call) {
            Some((_, ranks)) => ranks.push(rank),
            None => groups.push((call, vec![rank])),
        }
    }
    if groups.is_empty() {
        return;
    }
    let said: Vec<String> =
        groups.iter().take(LINES).map(|(call, group)| format!("{} in {call}", ranks(group))).collect();
    let more = groups.len().saturating_sub(LINES);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let _ = write!(text, "\n  also waiting because of them: {}{more}", said.join("; "));
}

pub(super) fn place(look: &RankLook) -> &str {
    look.call.as_ref().map_or("", |call| &call.place)
}

/// What a rank is doing, in a few words.
pub(crate) fn doing(look: &RankLook) -> String {
    let Some(call) = &look.call else {
        return match look.life {
            Life::Returned => "returned".to_string(),
            Life::Failed => "failed".to_string(),
            Life::Lost => "gone".to_string(),
            Life::Unseen => "not to be reached".to_string(),
            Life::Running => "computing".to_string(),
        };
    };
    let all: Vec<String> = needs(look).map(|(need, context)| wanted(need, context, call)).collect();
    match &all[..] {
        [] => call.name.clone(),
        [one] if waits(&call.name) => format!("{} for {one}", call.name),
        [one] => one.clone(),
        many => {
            let few = many.iter().take(3).cloned().collect::<Vec<_>>().join(if call.any {
                " or "
            } else {
                " and "
            });
            let more = if many.len() > 3 { format!(", {} more", many.len() - 3) } else { String::new() };
            format!("{} for {few}{more}", call.name)
        }
    }
}

/// Whether a call of that name waits for what another one has started.
fn waits(name: &str) -> bool {
    name.starts_with("wait") || name == "scope"
}

/// What one need is: as the call itself, or as what it waits for.
fn wanted(need: &NeedLook, context: &ContextLook, call: &CallLook) -> String {
    let world = |peer: Option<u32>| peer.and_then(|peer| context.members.world(peer));
    let peer = world(need.peer).map_or("any rank".to_string(), |rank| rank.to_string());
    let tag = need.tag.map_or("any tag".to_string(), |tag| format!("tag {tag}"));
    let kind =
        if need.element == 0 { String::new() } else { format!(" {}", Kind::name_of(need.element.into())) };
    let inside = inside(context);
    let (name, started) = match (waits(&call.name), &need.origin) {
        (true, Some(origin)) => (None, format!(" ({origin})")),
        (true, None) => (None, String::new()),
        (false, _) => (Some(&call.name[..]), String::new()),
    };
    match need.what {
        What::Message | What::Probe => {
            format!("{}{kind} from {peer}, {tag}{inside}{started}", name.unwrap_or("recv"))
        }
        What::Receiver => format!("{}{kind} to {peer}, {tag}{inside}{started}", name.unwrap_or("send")),
        What::Collective | What::Neighbors => {
            let root = world(need.root).map(|root| format!(", root {root}")).unwrap_or_default();
            let started_as =
                call.recent.iter().find(|recent| (recent.id, recent.number) == (need.id, need.number));
            let name = name.or(started_as.map(|recent| &recent.name[..])).unwrap_or("a collective call");
            format!("{name} #{}{root}{inside}{started}", need.number)
        }
        What::SharedLock => format!("{} of rank {peer}'s part, shared{inside}", name.unwrap_or("lock")),
        What::ExclusiveLock => format!("{} of rank {peer}'s part{inside}", name.unwrap_or("lock")),
        What::Nothing | What::All | What::Any => call.name.clone(),
    }
}

/// Names the ranks of a communicator that is not of all ranks in their order.
fn inside(context: &ContextLook) -> String {
    match &context.members {
        Members::Same(_) => String::new(),
        Members::These(members) => {
            let mut sorted = members.clone();
            sorted.sort_unstable();
            format!(", among {}", ranks(&sorted))
        }
    }
}

fn said(astray: &Astray) -> String {
    let Astray { from, to, tag, here, count, place } = astray;
    let what = if *count == 1 { "a message".to_string() } else { format!("{count} messages") };
    let context = if *here { "" } else { ", in another communicator" };
    format!(
        "rank {from} has sent rank {to} {what} with tag {tag}{context} ({place}), which nobody has asked for"
    )
}

/// If a rank makes another collective call than one it waits for: the last call that they had in common.
fn different_calls(found: &Stuck, rank: u32) -> Option<String> {
    let of = &found.looks[rank as usize];
    needs(of).find_map(|(need, context)| {
        let other = context.members.iter().find(|(_, other)| {
            found.looks.get(*other as usize).is_some_and(|look| other_call(need, of, look).is_some())
        })?;
        let recent = |rank: u32| {
            found.looks.get(rank as usize).and_then(|look| look.call.as_ref()).map(|call| &call.recent)
        };
        let (mine, theirs) = (recent(rank)?, recent(other.1)?);
        let common = mine.iter().rev().find(|call| {
            call.id == need.id
                && call.number < need.number
                && theirs.iter().any(|t| (t.id, t.number, &t.name) == (call.id, call.number, &call.name))
        });
        Some(match common {
            Some(call) => format!(
                "the last call that they had in common: {} #{} ({})",
                call.name, call.number, call.place
            ),
            None if need.number == 1 => "it is the first call of their communicator".to_string(),
            None => "no earlier call that they had in common is remembered".to_string(),
        })
    })
}

fn help(found: &Stuck, core: &[u32], kind: ErrorKind) -> &'static str {
    let whats = |wanted: What| {
        core.iter().all(|&rank| needs(&found.looks[rank as usize]).all(|(need, _)| need.what == wanted))
    };
    let any = |wanted: fn(What) -> bool| {
        core.iter().any(|&rank| needs(&found.looks[rank as usize]).any(|(need, _)| wanted(need.what)))
    };
    let gone = core.iter().any(|&rank| {
        let mut whom = Vec::new();
        if let Node::Waiting(wait) = &found.nodes[rank as usize] {
            Wait::ranks(wait, &mut whom);
        }
        whom.iter().any(|&r| found.nodes.get(r as usize) == Some(&Node::Gone))
    });
    if kind == ErrorKind::Mismatch {
        "every rank of the communicator must make the same collective calls in the same order"
    } else if found.astray.iter().any(|astray| !astray.here) {
        "send and receive on the same communicator"
    } else if !found.astray.is_empty() {
        "give both sides the same tag, or receive what was sent first"
    } else if gone {
        "a rank must not return before the others have what they need of it"
    } else if whats(What::Receiver) {
        "standard sends may wait for their receives: post the receives first, or use comm.sendrecv"
    } else if any(|what| matches!(what, What::SharedLock | What::ExclusiveLock)) {
        "lock parts of a window in the same order on every rank"
    } else if any(|what| what == What::Collective) {
        "every rank of a communicator must come to its collective calls: none may wait in another call meanwhile"
    } else {
        "post one side's send first, or use comm.sendrecv"
    }
}

/// `rank 3`, `ranks 0 and 1`, `ranks 0-3 and 7`.
pub(crate) fn ranks(ranks: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &rank in ranks {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == rank => *last = rank,
            _ => runs.push((rank, rank)),
        }
    }
    let mut words: Vec<String> = Vec::new();
    for (first, last) in runs {
        match last - first {
            0 => words.push(first.to_string()),
            1 => words.extend([first.to_string(), last.to_string()]),
            _ => words.push(format!("{first}-{last}")),
        }
    }
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    if words.len() > 12 {
        let more = words.len() - 12;
        words.truncate(12);
        return format!("{noun} {} and {more} more", words.join(", "));
    }
    match words.split_last() {
        None => "no rank".to_string(),
        Some((last, [])) => format!("{noun} {last}"),
        Some((last, before)) => format!("{noun} {} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::ranks;

    #[test]
    fn ranks_are_said_in_runs() {
        assert_eq!(ranks(&[3]), "rank 3");
        assert_eq!(ranks(&[0, 1]), "ranks 0 and 1");
        assert_eq!(ranks(&[0, 1, 2, 3, 7]), "ranks 0-3 and 7");
        assert_eq!(ranks(&[1, 3, 5]), "ranks 1, 3 and 5");
    }
}
