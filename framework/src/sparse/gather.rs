//! `Gather`: brings the values of other ranks that a matrix's rows need, and in a transposed multiplication takes sums
//! back to their owners.
//!
//! Only needed values travel, in messages that are set up once and started again and again; nothing is allocated then.
//! Which values are needed is `assemble`'s business.

use super::{Distribution, Value, kernel};
use crate::comm::{RecvPlan, SendPlan};
use crate::error::Result;
use std::ops::Range;

const TO_READERS: i32 = 1;
const TO_OWNERS: i32 = 2;

/// What one rank reads of ours.
struct Out<T: Value> {
    plan: SendPlan<T>,
    reader: usize,
    /// Which of our values, counted from our first.
    picks: Vec<u32>,
}

/// What we read of one rank's.
struct In<T: Value> {
    plan: RecvPlan<T>,
    owner: usize,
    /// Where it stands among the ghosts.
    place: Range<usize>,
}

type Back<T> = (Vec<RecvPlan<T>>, Vec<SendPlan<T>>);

/// The messages of a matrix.
pub(super) struct Gather<T: Value> {
    columns: Distribution,
    out: Vec<Out<T>>,
    into: Vec<In<T>>,
    /// The same pairs the other way, once they are asked for.
    back: Option<Back<T>>,
}

impl<T: Value> Gather<T> {
    /// For the values at `ghosts`, indices that other ranks have: by their owners, and within those in any order, which is that of
    /// the messages. Collective over the columns' ranks.
    #[track_caller]
    pub fn new(columns: &Distribution, ghosts: &[usize]) -> Result<Gather<T>> {
        let comm = columns.comm();
        let (mut into, mut asked) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < ghosts.len() {
            // The indices have been checked, so they have an owner.
            let owner = columns.owner(ghosts[at]).unwrap_or_default();
            let of_owner = columns.range_of(owner).unwrap_or_default();
            let next = at + ghosts[at..].iter().take_while(|ghost| of_owner.contains(ghost)).count().max(1);
            let plan = comm.plan_recv(vec![T::default(); next - at], owner, TO_READERS)?;
            into.push(In { plan, owner, place: at..next });
            asked.push((owner, &ghosts[at..next]));
            at = next;
        }
        let start = columns.range().start;
        let mut out = Vec::new();
        for (reader, picks) in comm.exchange_sparse_slices(asked)? {
            let plan = comm.plan_send(vec![T::default(); picks.len()], reader, TO_READERS)?;
            out.push(Out {
                plan,
                reader,
                picks: picks.iter().map(|&index| (index - start) as u32).collect(),
            });
        }
        Ok(Gather { columns: columns.clone(), out, into, back: None })
    }

    /// How many values this rank sends in one exchange.
    pub fn sent(&self) -> usize {
        self.out.iter().map(|out| out.picks.len()).sum()
    }

    /// Sends what others read of `x`, and begins to receive.
    #[track_caller]
    pub fn start(&mut self, x: &[T]) -> Result<()> {
        for into in &mut self.into {
            into.plan.start()?;
        }
        for out in &mut self.out {
            let packed = out.plan.buffer_mut()?;
            kernel::pick(packed, x, &out.picks, usize::MAX, || Ok(()))?;
            out.plan.start()?;
        }
        Ok(())
    }

    /// Helps the messages along: MPI libraries move nothing large unless somebody calls them.
    #[track_caller]
    pub fn poll(&mut self) -> Result<()> {
        for into in &mut self.into {
            if into.plan.is_under_way() {
                into.plan.test()?;
            }
        }
        for out in &mut self.out {
            if out.plan.is_under_way() {
                out.plan.test()?;
            }
        }
        Ok(())
    }

    /// Waits for the messages and puts what came among the ghosts.
    #[track_caller]
    pub fn finish(&mut self, ghosts: &mut [T]) -> Result<()> {
        for into in &mut self.into {
            if into.plan.is_under_way() {
                into.plan.wait()?;
            }
            ghosts[into.place.clone()].copy_from_slice(into.plan.buffer()?);
        }
        for out in &mut self.out {
            if out.plan.is_under_way() {
                out.plan.wait()?;
            }
        }
        Ok(())
    }

    /// Sends what stands at the ghosts to their owners, and begins to receive.
    #[track_caller]
    pub fn start_back(&mut self, ghosts: &[T]) -> Result<()> {
        let (receives, sends) = match &mut self.back {
            Some(plans) => plans,
            none => {
                let comm = self.columns.comm();
                let room = |len| vec![T::default(); len];
                let receives =
                    self.out.iter().map(|out| comm.plan_recv(room(out.picks.len()), out.reader, TO_OWNERS));
                let receives = receives.collect::<Result<_>>()?;
                let sends = self
                    .into
                    .iter()
                    .map(|into| comm.plan_send(room(into.place.len()), into.owner, TO_OWNERS));
                none.insert((receives, sends.collect::<Result<_>>()?))
            }
        };
        for receive in receives {
            receive.start()?;
        }
        for (send, into) in sends.iter_mut().zip(&self.into) {
            send.buffer_mut()?.copy_from_slice(&ghosts[into.place.clone()]);
            send.start()?;
        }
        Ok(())
    }

    /// Waits for the messages and adds what came to `y`, in the order of the ranks.
    #[track_caller]
    pub fn finish_back(&mut self, y: &mut [T]) -> Result<()> {
        let Some((receives, sends)) = &mut self.back else { return Ok(()) };
        for (receive, out) in receives.iter_mut().zip(&self.out) {
            receive.wait()?;
            out.picks.iter().zip(receive.buffer()?).for_each(|(&pick, &value)| y[pick as usize] += value);
        }
        for send in sends {
            send.wait()?;
        }
        Ok(())
    }
}
