//! What is said between the hub, which looks at all ranks, the members, which know one each, and viewers.

use super::super::board::Life;
use super::super::look::{Answer, Query, RankLook};
use super::super::view::{RankView, Totals};
use serde::{Deserialize, Serialize};

/// To a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Look,
    Count(Vec<Query>),
    Epoch,
    Totals,
    Left,
}

/// From a member or a viewer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// A member of that rank is there.
    Here(u32),
    /// It has been blocked longer than the patience.
    Blocked,
    /// It is through.
    Ended(Life),
    /// What it was asked, by the question's number.
    Reply(u64, Reply),
    /// A viewer wants to see the job.
    Show,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Looked(Box<RankLook>),
    Counted(Vec<Answer>),
    Epoch(u64),
    Totals(Totals),
    Left(Vec<String>),
}

/// To a member or a viewer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Answer(u64, Question),
    Shown(Vec<RankView>),
}

/// The longest frames: from members of the job, and from those who only look.
pub(super) const FROM_MEMBER: usize = 64 << 20;
pub(super) const FROM_VIEWER: usize = 4096;
pub(super) const TO_ANYBODY: usize = 64 << 20;
