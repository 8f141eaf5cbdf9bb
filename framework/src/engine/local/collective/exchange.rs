//! A few words of every rank for every rank: how other parts of this engine agree on what they do together.

use super::check::Claim;
use super::part::Part;
use super::small::SMALL;
use crate::engine::local::Local;
use crate::engine::signature::Signature;
use crate::engine::{Outcome, Place};

impl Local {
    /// Shows every rank's few words to `each`, in rank order. All ranks make it with the same `call`, or all fail.
    pub fn exchange(
        &self,
        call: &'static str,
        mine: &[u64],
        place: Place,
        mut each: impl FnMut(usize, &[u64]),
    ) -> Outcome<()> {
        let given: &[u8] = bytemuck::cast_slice(mine);
        debug_assert!(given.len() <= SMALL);
        let signature = Signature { call, root: None, bytes: given.len(), kind: None, op: None, place };
        let claim = Claim { signature, started: self.started_so_far() };
        if let Some(direct) = &self.group.meeting.direct
            && self.size() > 1
        {
            // So that others who are in a call of another kind hear of it.
            self.agree_directly(direct, claim)?;
        }
        let table = self.meet(Part::nothing(), claim, given, |table| table.agree(self.size()))?;
        for rank in 0..self.size() {
            each(rank, bytemuck::cast_slice(&table.card(rank).small.0[..given.len()]));
        }
        Ok(())
    }
}
