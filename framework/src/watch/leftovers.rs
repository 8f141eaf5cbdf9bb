//! Messages that nobody has asked for: beside ranks that wait for others, and at the end of a job.

use super::key::Class;
use super::look::{Astray, Panel, Query, RankLook, needs};
use super::need::What;
use std::collections::HashMap;

/// Messages to the ranks at the core that they have never asked for, from those that they wait for.
pub(super) fn astray(looks: &[RankLook], cores: &[Vec<u32>], panel: &mut dyn Panel) -> Vec<Astray> {
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
