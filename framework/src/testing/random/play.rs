//! A random program, done by a rank: every step is a call of the framework on a source line of its own.

use super::Program;
use super::step::{
    COMMUNICATORS, Call, Collective, HALVES, How, Look, Mode, RING, Side, Step, TWIN, WILD, WORLD,
};
use crate::comm::{Cart, OwnedCollective, OwnedRecv, OwnedSend, RecvPlan, Requests, SendPlan, wait_all};
use crate::comm::{Source, Tag};
use crate::op::Sum;
use crate::window::Lock;
use crate::{ANY_SOURCE, ANY_TAG, Comm, Result, Window};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What has been started and not waited for.
enum Pending {
    Send(OwnedSend<u8>),
    Recv(OwnedRecv<u8>),
    SendPlan(SendPlan<u8>),
    RecvPlan(RecvPlan<u8>),
    Barrier(OwnedCollective<()>),
    Collective(OwnedCollective<Vec<u8>>),
    /// What is left of several.
    Several(Requests<OwnedRecv<u8>>),
}

struct Stage<'p> {
    program: &'p Program,
    me: usize,
    comms: Vec<Option<Comm>>,
    ring: Cart,
    window: Window<u64>,
    pending: HashMap<usize, Pending>,
}

/// Does this rank's steps.
pub(super) fn play(program: &Program, world: &Comm) -> Result<()> {
    let me = world.rank();
    let mut comms: Vec<Option<Comm>> = (0..COMMUNICATORS).map(|_| None).collect();
    comms[TWIN] = Some(world.dup()?);
    let half = HALVES.iter().position(|&half| program.members[half].contains(&me)).unwrap_or(0);
    comms[HALVES[half]] = world.split(Some(half as u32), -(me as i64))?;
    comms[WILD] = Some(world.dup()?);
    let ring = world.cart(&[world.size()], &[true])?;
    let ring = ring.ok_or_else(|| crate::Error::usage("a ring of all ranks has all ranks"))?;
    comms[WORLD] = Some(world.dup()?);
    let window = world.window::<u64>(1)?;
    let mut stage = Stage { program, me, comms, ring, window, pending: HashMap::new() };
    program.steps[me].iter().try_for_each(|step| stage.step(step))
}

impl Stage<'_> {
    fn comm(&self, comm: usize) -> &Comm {
        match (&self.comms[comm], comm) {
            (_, RING) => &self.ring,
            (Some(comm), _) => comm,
            (None, _) => unreachable!("programs use the communicators that their ranks are in"),
        }
    }

    /// The rank's number in a communicator.
    fn rank_in(&self, comm: usize, rank: usize) -> usize {
        self.program.members[comm].iter().position(|&member| member == rank).unwrap_or(usize::MAX)
    }

    fn source(&self, side: &Side) -> (Source, Tag) {
        let source = side.peer.map_or(ANY_SOURCE, |peer| self.rank_in(side.comm, peer).into());
        (source, side.tag.map_or(ANY_TAG, Into::into))
    }

    /// Where a message goes: the communicator, the rank, the tag and the data.
    fn parcel(&self, side: &Side) -> (&Comm, usize, i32, Vec<u8>) {
        let to = self.rank_in(side.comm, side.peer.unwrap_or_default());
        (self.comm(side.comm), to, side.tag.unwrap_or_default(), vec![self.me as u8; side.bytes])
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Send(side, mode) => self.send(side, *mode),
            Step::Recv(side, look) => self.receive(side, *look),
            Step::StartSend(side, mode, number, planned) => {
                let (comm, to, tag, data) = self.parcel(side);
                let started = match (planned, mode) {
                    (false, Mode::Synchronous) => Pending::Send(comm.issend_owned(data, to, tag)?),
                    (false, _) => Pending::Send(comm.isend_owned(data, to, tag)?),
                    (true, Mode::Synchronous) => Pending::SendPlan(comm.plan_ssend(data, to, tag)?),
                    (true, _) => Pending::SendPlan(comm.plan_send(data, to, tag)?),
                };
                self.begin(*number, started)
            }
            Step::StartRecv(side, number, planned) => {
                let (comm, (source, tag)) = (self.comm(side.comm), self.source(side));
                let started = match planned {
                    false => Pending::Recv(comm.irecv_owned(Vec::with_capacity(side.bytes), source, tag)?),
                    true => Pending::RecvPlan(comm.plan_recv(vec![0; side.bytes], source, tag)?),
                };
                self.begin(*number, started)
            }
            Step::Exchange(out, into) => {
                let (comm, to, tag, data) = self.parcel(out);
                let (source, its_tag) = self.source(into);
                comm.sendrecv(&data, to, tag, &mut vec![0u8; into.bytes], source, its_tag).map(drop)
            }
            Step::Collect(collective) => self.collect(collective),
            Step::StartCollect(collective, number) => {
                let (comm, data) = (self.comm(collective.comm), vec![1u8; collective.bytes]);
                let started = match collective.call {
                    Call::Barrier => Pending::Barrier(comm.ibarrier_owned()?),
                    Call::Bcast => {
                        let root = self.rank_in(collective.comm, collective.root);
                        Pending::Collective(comm.ibcast_owned(data, root)?)
                    }
                    _ => Pending::Collective(comm.iallreduce_owned(data, crate::op::Max)?),
                };
                self.begin(*number, started)
            }
            Step::Neighbors => {
                let both = self.ring.coords().len() * 2;
                self.ring.neighbor_allgather_into(&[self.me as u32], &mut vec![0; both])
            }
            Step::Fence => {
                let next = (self.me + 1) % self.program.ranks();
                self.window.fence(|epoch| epoch.put(&[7], next, 0))
            }
            Step::Share(target, alone) => {
                let lock = if *alone { Lock::Exclusive } else { Lock::Shared };
                let target = *target;
                self.window.share(|shared| {
                    shared.lock(target, lock, |locked| locked.accumulate(&[1], Sum, target, 0))
                })
            }
            Step::Wait(numbers, how) => self.wait(numbers, *how),
            Step::Pause(time, asleep) => {
                pause(Duration::from_micros(*time), *asleep);
                Ok(())
            }
        }
    }

    fn send(&self, side: &Side, mode: Mode) -> Result<()> {
        let (comm, to, tag, data) = self.parcel(side);
        match mode {
            Mode::Standard => comm.send(&data, to, tag),
            Mode::Synchronous => comm.ssend(&data, to, tag),
            Mode::Buffered => comm.bsend(&data, to, tag),
            Mode::ByValue => comm.send_vec(data, to, tag),
        }
    }

    fn receive(&self, side: &Side, look: Look) -> Result<()> {
        let (comm, (source, tag)) = (self.comm(side.comm), self.source(side));
        let mut room = vec![0u8; side.bytes];
        match look {
            Look::Not => comm.recv(&mut room, source, tag).map(drop),
            Look::Probe => {
                let found = comm.probe::<u8>(source, tag)?;
                comm.recv(&mut room, found.source, found.tag).map(drop)
            }
            Look::Matched => {
                let found = comm.mprobe::<u8>(source, tag)?;
                found.recv(&mut room).map(drop)
            }
        }
    }

    fn begin(&mut self, number: usize, mut pending: Pending) -> Result<()> {
        match &mut pending {
            Pending::SendPlan(plan) => plan.start()?,
            Pending::RecvPlan(plan) => plan.start()?,
            _ => {}
        }
        self.pending.insert(number, pending);
        Ok(())
    }

    fn collect(&self, collective: &Collective) -> Result<()> {
        let (comm, bytes) = (self.comm(collective.comm), collective.bytes);
        let root = self.rank_in(collective.comm, collective.root);
        match collective.call {
            Call::Barrier => comm.barrier(),
            Call::Bcast => comm.bcast(&mut vec![1u8; bytes], root),
            Call::Reduce => comm.reduce(1u64, Sum, root).map(drop),
            Call::Allreduce => comm.allreduce_in_place(&mut vec![1u8; bytes], crate::op::Max),
            Call::Gather => comm.gather(&vec![1u8; bytes], root).map(drop),
            Call::Allgather => comm.allgather(&vec![1u8; bytes]).map(drop),
            Call::Alltoall => comm.alltoall(&vec![1u8; bytes * comm.size()]).map(drop),
            Call::Scan => comm.scan(1u64, Sum).map(drop),
        }
    }

    /// What a fault has left out is not waited for.
    fn wait(&mut self, numbers: &[usize], how: How) -> Result<()> {
        let mut all: Vec<Pending> = numbers.iter().filter_map(|number| self.pending.remove(number)).collect();
        if how == How::Each {
            return all.into_iter().try_for_each(one);
        }
        let mut requests = Requests::new();
        for pending in all.drain(..) {
            match pending {
                Pending::Recv(request) => drop(requests.push(request)),
                other => one(other)?,
            }
        }
        match how {
            How::All => wait_all_of(requests),
            How::Any => {
                while requests.wait_any()?.is_some() {}
                Ok(())
            }
            How::Some => {
                while !requests.wait_some()?.is_empty() {}
                Ok(())
            }
            How::Each | How::Once => {
                requests.wait_any()?;
                self.pending.insert(numbers[0], Pending::Several(requests));
                Ok(())
            }
        }
    }
}

fn wait_all_of(mut requests: Requests<OwnedRecv<u8>>) -> Result<()> {
    requests.wait_all().map(drop)
}

fn one(pending: Pending) -> Result<()> {
    match pending {
        Pending::Send(request) => request.wait().map(drop),
        Pending::Recv(request) => wait_all([request]).map(drop),
        Pending::SendPlan(mut plan) => plan.wait(),
        Pending::RecvPlan(mut plan) => plan.wait().map(drop),
        Pending::Barrier(request) => request.wait().map(drop),
        Pending::Collective(request) => request.wait().map(drop),
        Pending::Several(requests) => wait_all_of(requests),
    }
}

/// A time without any call.
fn pause(time: Duration, asleep: bool) {
    if asleep {
        return std::thread::sleep(time);
    }
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
