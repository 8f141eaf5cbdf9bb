//! The calls that can end in several ways, where ranks take turns and each way is to be explored.
//!
//! Which letters could be taken is `inbox`'s business, and who decides, that of `turns`. Calls of the framework's own
//! take what is there, in order: nobody sees in which.

use super::letter::{Letter, Want};
use super::turns::{Act, Look, Turns};
use super::{Local, Matched, Request};
use crate::comm::element::Kind;
use crate::engine::many::{Ended, Enough, Many};
use crate::engine::{self, Engine, Fault, From, Outcome};

impl Local {
    /// Where the letter stands that a receive or probe gets. Without `block` there may be none.
    #[cold]
    pub(super) fn find_in_turn(&self, turns: &Turns, want: &Want, block: bool) -> Outcome<Option<u32>> {
        let free = || self.inbox().lock().free(want, u64::MAX);
        let certain = !self.is_authors() || block && want.from != From::Any;
        let decided = self.world.in_turn(turns, self.me, &mut || {
            let mut open: Vec<Act> = free().into_iter().map(|(source, _)| Act::From(source)).collect();
            if certain && !open.is_empty() {
                return Look::Go;
            }
            if !block {
                open.push(self.refusal());
            }
            if open.is_empty() { Look::Blocked } else { Look::Open(open) }
        })?;
        Ok(match decided {
            None => free().first().map(|&(_, index)| index),
            Some(Act::From(source)) => {
                free().into_iter().find_map(|(free, index)| (free == source).then_some(index))
            }
            Some(_) => None,
        })
    }

    #[cold]
    pub(super) fn await_in_turn(&self, turns: &Turns, want: &Want) -> Outcome<Letter> {
        let index = self.find_in_turn(turns, want, true)?;
        index.and_then(|index| self.inbox().lock().take_free(index)).ok_or(Fault::Aborted)
    }

    #[cold]
    pub(super) fn claim_in_turn(
        &self,
        turns: &Turns,
        want: &Want,
        kind: Kind,
        block: bool,
    ) -> Outcome<Option<Matched>> {
        let Some(index) = self.find_in_turn(turns, want, block)? else { return Ok(None) };
        let envelope = self.inbox().lock().claim_free(index).ok_or(Fault::Aborted)?;
        self.claimed(index, envelope, kind).map(Some)
    }

    /// Whether a test is told that the request is over.
    #[cold]
    pub(super) fn is_over_in_turn(&self, turns: &Turns, request: &mut Request) -> Outcome<bool> {
        let decided =
            self.world.in_turn(turns, self.me, &mut || match (self.is_over(request), self.is_authors()) {
                (true, true) => Look::Open(vec![Act::Yes, Act::No]),
                (true, false) => Look::Go,
                (false, _) => Look::Open(vec![self.refusal()]),
            })?;
        Ok(matches!(decided, None | Some(Act::Yes)))
    }

    /// See [`Engine::some`].
    #[cold]
    pub(super) fn some_in_turn(
        &self,
        turns: &Turns,
        many: &mut dyn Many,
        block: bool,
        ended: &mut Vec<Ended>,
    ) -> Outcome<()> {
        each(many, |_, local, request| {
            // As it does elsewhere after a while: a send that need not wait goes on without its receiver.
            if let Some(outcome) = local.let_go(request) {
                request.end(outcome);
            }
        });
        let (enough, all) = (many.enough(), many.len());
        let mut over = Vec::new();
        let decided = self.world.in_turn(turns, self.me, &mut || {
            over.clear();
            each(many, |index, local, request| {
                if local.is_over(request) {
                    over.push(index);
                }
            });
            // Of several messages under one request nobody sees the order.
            exchanged(many, ended);
            if !ended.is_empty() || !self.is_authors() && !over.is_empty() {
                return Look::Go;
            }
            let mut open: Vec<Act> = match enough {
                Enough::All => Vec::new(),
                Enough::One | Enough::Some => over.iter().map(|&index| Act::Give(index)).collect(),
            };
            if enough == Enough::Some && over.len() > 1 || enough == Enough::All && over.len() == all {
                open.push(Act::GiveAll);
            }
            if !block {
                open.push(self.refusal());
            }
            if open.is_empty() { Look::Blocked } else { Look::Open(open) }
        })?;
        match decided {
            Some(Act::Give(index)) => over = vec![index],
            None | Some(Act::GiveAll) => {}
            Some(_) => over.clear(),
        }
        each(many, |index, local, request| {
            if over.contains(&index) {
                ended.extend(local.peek(request).map(|outcome| (index, outcome)));
            }
        });
        Ok(())
    }

    /// Whether it is over; it stays so.
    fn is_over(&self, request: &mut Request) -> bool {
        let outcome = self.peek(request);
        let over = outcome.is_some();
        if let Some(outcome) = outcome {
            request.end(outcome);
        }
        over
    }

    /// What says that there is nothing yet.
    fn refusal(&self) -> Act {
        if self.is_authors() { Act::No } else { Act::NotYet }
    }
}

/// Shows the requests of this engine.
fn each(many: &mut dyn Many, mut show: impl FnMut(usize, &Local, &mut Request)) {
    for index in 0..many.len() {
        many.at(index, &mut |engine, request| {
            #[allow(irrefutable_let_patterns, reason = "without MPI there is one engine")]
            if let (Engine::Local(local), engine::Request::Local(request)) = (engine, request) {
                show(index, local, request);
            }
        });
    }
}

/// Adds the requests of several messages that are over.
fn exchanged(many: &mut dyn Many, ended: &mut Vec<Ended>) {
    for index in 0..many.len() {
        if ended.iter().any(|(over, _)| *over == index) {
            continue;
        }
        many.at(index, &mut |_, request| {
            if let engine::Request::Exchange(exchange) = request {
                ended.extend(exchange.ended().map(|outcome| (index, outcome)));
            }
        });
    }
}
