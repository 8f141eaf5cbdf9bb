//! Correct programs, drawn at random.
//!
//! An event is one message, one collective call, or something a rank does alone. Events have one order for the whole program,
//! and every rank does its part of each in that order; what is started in an event is waited for in a later one. So the first
//! event that is not over can always go on, whatever waits for what: nothing hangs. Wildcards stand where whoever comes
//! first does not matter: in an event of its own, under a tag of its own or followed by a barrier.

use super::dice::Dice;
use super::step::{Call, Collective, HALVES, How, Look, Mode, RING, Side, Step, TWIN, WILD, WINDOW, WORLD};

/// The world ranks of each communicator, in its order; of a half that has none, none.
pub(super) fn members(dice: &mut Dice, ranks: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..ranks).collect();
    let (mut first, mut second): (Vec<usize>, Vec<usize>) = all.iter().rev().partition(|_| dice.one_in(2));
    if first.len() < second.len() {
        std::mem::swap(&mut first, &mut second);
    }
    vec![all.clone(), all.clone(), first, second, all.clone(), all.clone(), all]
}

/// The steps of each rank.
pub(super) fn steps(dice: &mut Dice, members: &[Vec<usize>]) -> Vec<Vec<Step>> {
    let ranks = members[WORLD].len();
    let mut draw =
        Draw { dice, members, steps: vec![Vec::new(); ranks], pending: vec![Vec::new(); ranks], next: 0 };
    for event in 0..8 + draw.dice.roll(50) {
        draw.event(event as i32);
    }
    for rank in 0..ranks {
        while !draw.pending[rank].is_empty() {
            draw.wait(rank);
        }
    }
    if draw.dice.one_in(2) {
        draw.collective(Collective { comm: WORLD, call: Call::Barrier, root: 0, bytes: 0 }, false);
    }
    draw.steps
}

struct Draw<'a> {
    dice: &'a mut Dice,
    members: &'a [Vec<usize>],
    steps: Vec<Vec<Step>>,
    /// What each rank has started, and whether it can be waited for together with others.
    pending: Vec<Vec<(usize, bool)>>,
    next: usize,
}

/// Around the lengths from which engines send differently.
const BYTES: [usize; 8] = [0, 1, 8, 100, 100, 5_000, 70_000, 200_000];

impl Draw<'_> {
    fn event(&mut self, event: i32) {
        match self.dice.roll(100) {
            0..40 => {
                let (comm, tag) = (self.communicator(), self.dice.roll(4) as i32);
                let (from, to) = self.pair(comm);
                let any = self.dice.one_in(6);
                self.message(comm, from, to, (tag, (!any).then_some(tag)), false);
            }
            40..50 => self.wild_messages(event),
            50..56 => self.exchange(),
            56..72 => {
                let comm = self.communicator();
                let call = self.dice.pick(&[
                    Call::Barrier,
                    Call::Bcast,
                    Call::Reduce,
                    Call::Allreduce,
                    Call::Gather,
                    Call::Allgather,
                    Call::Alltoall,
                    Call::Scan,
                ]);
                let root = self.dice.pick(&self.members[comm]);
                let bytes = self.dice.pick(&[1, 8, 64, 5_000, 40_000]);
                let later =
                    self.dice.one_in(3) && matches!(call, Call::Barrier | Call::Bcast | Call::Allreduce);
                self.collective(Collective { comm, call, root, bytes }, later);
            }
            72..75 => self.all(Step::Neighbors),
            75..78 => self.all(Step::Fence),
            78..80 => {
                for rank in 0..self.steps.len() {
                    let step = Step::Share(self.dice.roll(self.steps.len()), self.dice.one_in(2));
                    self.steps[rank].push(step);
                }
            }
            80..93 => {
                let rank = self.dice.roll(self.steps.len());
                self.wait(rank);
            }
            _ => {
                let rank = self.dice.roll(self.steps.len());
                let step = Step::Pause(self.dice.pick(&[20, 200, 2000]), self.dice.one_in(2));
                self.steps[rank].push(step);
            }
        }
    }

    /// One in which messages can be sent.
    fn communicator(&mut self) -> usize {
        let comm = self.dice.pick(&[WORLD, WORLD, TWIN, HALVES[0], HALVES[1]]);
        if self.members[comm].len() < 2 { WORLD } else { comm }
    }

    fn pair(&mut self, comm: usize) -> (usize, usize) {
        let mut both = self.members[comm].clone();
        self.dice.shuffle(&mut both);
        (both[0], both[1])
    }

    fn started(&mut self, rank: usize, together: bool) -> usize {
        self.next += 1;
        self.pending[rank].push((self.next, together));
        self.next
    }

    /// A message whose receive takes the second of the tags, and perhaps anybody's.
    fn message(&mut self, comm: usize, from: usize, to: usize, tags: (i32, Option<i32>), anybody: bool) {
        let bytes = self.dice.pick(&BYTES);
        let sent = Side { comm, peer: Some(to), tag: Some(tags.0), bytes };
        let mode = self.dice.pick(&[
            Mode::Standard,
            Mode::Standard,
            Mode::Synchronous,
            Mode::Buffered,
            Mode::ByValue,
        ]);
        let send = match (self.dice.roll(3), mode) {
            (0, Mode::Standard | Mode::Synchronous) => {
                Step::StartSend(sent, mode, self.started(from, false), self.dice.one_in(3))
            }
            _ => Step::Send(sent, mode),
        };
        self.steps[from].push(send);
        // Whoever takes anybody's message has room for the longest.
        let bytes = if anybody || tags.1.is_none() { BYTES[BYTES.len() - 1] } else { bytes };
        let wanted = Side { comm, peer: (!anybody).then_some(from), tag: tags.1, bytes };
        let receive = match self.dice.roll(6) {
            0 | 1 => {
                let planned = self.dice.one_in(3);
                Step::StartRecv(wanted, self.started(to, !planned), planned)
            }
            2 => Step::Recv(wanted, Look::Probe),
            3 => Step::Recv(wanted, Look::Matched),
            _ => Step::Recv(wanted, Look::Not),
        };
        self.steps[to].push(receive);
    }

    /// Some ranks send to one that takes what comes.
    fn wild_messages(&mut self, event: i32) {
        let wild = self.dice.one_in(3);
        let comm = if wild { WILD } else { self.communicator() };
        let mut ranks = self.members[comm].clone();
        self.dice.shuffle(&mut ranks);
        let senders = 1 + self.dice.roll(ranks.len() - 1);
        let tag = 1000 + event;
        for &from in &ranks[1..=senders] {
            self.message(comm, from, ranks[0], (tag, (!wild).then_some(tag)), true);
        }
        if wild {
            // What is sent later must not be taken for what was to come now.
            while !self.pending[ranks[0]].is_empty() {
                self.wait(ranks[0]);
            }
            self.collective(Collective { comm, call: Call::Barrier, root: 0, bytes: 0 }, false);
        }
    }

    /// All ranks of a communicator send to the next one and receive from the one before.
    fn exchange(&mut self) {
        let (comm, tag) = (self.communicator(), self.dice.roll(4) as i32);
        let mut circle = self.members[comm].clone();
        self.dice.shuffle(&mut circle);
        circle.truncate(2 + self.dice.roll(circle.len() - 1));
        let bytes = self.dice.pick(&BYTES);
        for (at, &rank) in circle.iter().enumerate() {
            let side =
                |other: usize| Side { comm, peer: Some(circle[other % circle.len()]), tag: Some(tag), bytes };
            self.steps[rank].push(Step::Exchange(side(at + 1), side(at + circle.len() - 1)));
        }
    }

    fn collective(&mut self, collective: Collective, later: bool) {
        for &rank in &self.members[collective.comm] {
            let step = match later {
                true => Step::StartCollect(collective, self.started(rank, false)),
                false => Step::Collect(collective),
            };
            self.steps[rank].push(step);
        }
    }

    fn all(&mut self, step: Step) {
        debug_assert!(self.members[RING].len() == self.members[WINDOW].len());
        self.steps.iter_mut().for_each(|steps| steps.push(step.clone()));
    }

    /// The rank waits for some of what it has started.
    fn wait(&mut self, rank: usize) {
        let pending = &mut self.pending[rank];
        if pending.is_empty() {
            return;
        }
        self.dice.shuffle(pending);
        let mut chosen = pending.split_off(self.dice.roll(pending.len()));
        let together: Vec<(usize, bool)> = chosen.iter().copied().filter(|(_, together)| *together).collect();
        let mut how = How::Each;
        if together.len() > 1 && !self.dice.one_in(4) {
            pending.extend(chosen.iter().copied().filter(|(_, together)| !together));
            chosen = together;
            how = self.dice.pick(&[How::All, How::Any, How::Some, How::Once]);
            if how == How::Once {
                // What is left of them is waited for by itself.
                pending.push((chosen[0].0, false));
            }
        }
        self.steps[rank].push(Step::Wait(chosen.into_iter().map(|(number, _)| number).collect(), how));
    }
}
