//! One mistake in a correct program, such as people make.

use super::Program;
use super::dice::Dice;
use super::step::{Look, RING, Step, WILD, WINDOW, WORLD};

/// A kind of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A send is left out.
    DroppedSend,
    /// A receive is left out.
    DroppedReceive,
    /// One side of a message has another tag.
    WrongTag,
    /// One side of a message, or one rank of a collective call, is on another communicator.
    WrongCommunicator,
    /// One rank takes another one for the root.
    WrongRoot,
    /// One rank leaves a collective call out.
    DroppedCollective,
    /// Two steps of a rank stand in the other order.
    Swapped,
    /// A rank returns too early.
    EarlyReturn,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 8] = [
        Fault::DroppedSend,
        Fault::DroppedReceive,
        Fault::WrongTag,
        Fault::WrongCommunicator,
        Fault::WrongRoot,
        Fault::DroppedCollective,
        Fault::Swapped,
        Fault::EarlyReturn,
    ];

    /// In a few words.
    pub fn name(self) -> &'static str {
        match self {
            Fault::DroppedSend => "a send left out",
            Fault::DroppedReceive => "a receive left out",
            Fault::WrongTag => "another tag",
            Fault::WrongCommunicator => "another communicator",
            Fault::WrongRoot => "another root",
            Fault::DroppedCollective => "a collective left out",
            Fault::Swapped => "two steps swapped",
            Fault::EarlyReturn => "an early return",
        }
    }
}

/// The program with that mistake somewhere, and what was done; `None` if it has no place for it.
pub(super) fn inject(program: &Program, fault: Fault, dice: &mut Dice) -> Option<(Program, String)> {
    let mut places: Vec<(usize, usize)> = (0..program.steps.len())
        .flat_map(|rank| (0..program.steps[rank].len()).map(move |at| (rank, at)))
        .collect();
    dice.shuffle(&mut places);
    places.into_iter().find_map(|(rank, at)| {
        let mut broken = program.clone();
        let before = format!("{:?}", program.steps[rank][at]);
        let done = change(&mut broken, fault, rank, at, dice)?;
        Some((broken, format!("rank {rank}, step {at}, {before}: {done}")))
    })
}

/// What was done, if the fault can stand there.
fn change(program: &mut Program, fault: Fault, rank: usize, at: usize, dice: &mut Dice) -> Option<String> {
    let members = program.members.clone();
    let steps = &mut program.steps[rank];
    let step = &mut steps[at];
    match fault {
        Fault::DroppedSend if matches!(step, Step::Send(..) | Step::StartSend(..)) => drop(steps.remove(at)),
        Fault::DroppedReceive if matches!(step, Step::Recv(..) | Step::StartRecv(..)) => {
            drop(steps.remove(at))
        }
        Fault::DroppedCollective
            if matches!(
                step,
                Step::Collect(_) | Step::StartCollect(..) | Step::Neighbors | Step::Fence | Step::Share(..)
            ) =>
        {
            drop(steps.remove(at));
        }
        Fault::WrongTag => match step {
            Step::Send(side, _)
            | Step::Recv(side, _)
            | Step::StartSend(side, ..)
            | Step::StartRecv(side, ..) => {
                side.tag = Some(side.tag? + 500);
            }
            _ => return None,
        },
        Fault::WrongCommunicator => {
            let (comm, peer) = match step {
                Step::Send(side, _)
                | Step::Recv(side, _)
                | Step::StartSend(side, ..)
                | Step::StartRecv(side, ..) => (&mut side.comm, side.peer),
                Step::Collect(collective) | Step::StartCollect(collective, _) => {
                    (&mut collective.comm, Some(collective.root))
                }
                _ => return None,
            };
            let has = |other: &usize| {
                let ranks = &members[*other];
                ranks.contains(&rank) && peer.is_none_or(|peer| ranks.contains(&peer))
            };
            let others: Vec<usize> =
                (WORLD..WINDOW).filter(|other| ![*comm, RING, WILD].contains(other)).filter(has).collect();
            if others.is_empty() {
                return None;
            }
            *comm = dice.pick(&others);
        }
        Fault::WrongRoot => match step {
            Step::Collect(collective) | Step::StartCollect(collective, _)
                if collective.call.has_root() && members[collective.comm].len() > 1 =>
            {
                let old = collective.root;
                while collective.root == old {
                    collective.root = dice.pick(&members[collective.comm]);
                }
            }
            _ => return None,
        },
        Fault::Swapped => {
            let other = at + 1 + dice.roll(3);
            let idle = |step: &Step| matches!(step, Step::Pause(..) | Step::Recv(_, Look::Probe));
            if other >= steps.len() || idle(&steps[at]) || idle(&steps[other]) || steps[at] == steps[other] {
                return None;
            }
            steps.swap(at, other);
        }
        Fault::EarlyReturn => steps.truncate(at),
        _ => return None,
    }
    let now = program.steps[rank].get(at);
    Some(match fault {
        Fault::WrongTag | Fault::WrongCommunicator | Fault::WrongRoot | Fault::Swapped => format!("{now:?}"),
        _ => "left out".to_string(),
    })
}
