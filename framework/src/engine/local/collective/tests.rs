//! Every call with every layout against naive references, on 1 to 8 ranks, blocking and nonblocking.

use super::super::{Group, World};
use super::*;
use crate::comm::element::Element;
use crate::engine::{Call, Fault, Layout, Side, Span};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

/// Runs `f` on the ranks of a new world, once for each way in which they can meet.
fn ranks<R: Send>(size: usize, f: impl Fn(&Local) -> R + Sync) -> Vec<R> {
    let mut all = Vec::new();
    for direct in [false, true] {
        let world = World::new(size, 1, false);
        let members = (0..size as u32).collect();
        let group = Arc::new(Group { context: 100, members, meeting: Meeting::new(size, direct) });
        std::thread::scope(|threads| {
            let handles: Vec<_> = (0..size)
                .map(|me| {
                    let (world, group, f) = (world.clone(), group.clone(), &f);
                    threads.spawn(move || {
                        world.enter(me);
                        f(&Local { context: group.context, group, ..Local::world(&world, me) })
                    })
                })
                .collect();
            all.extend(handles.into_iter().map(|handle| handle.join().unwrap()));
        });
    }
    all
}

/// x → a·x + b composed: associative, not commutative, and no two orders give the same.
fn compose(f: [i64; 2], g: [i64; 2]) -> [i64; 2] {
    [f[0].wrapping_mul(g[0]), f[1].wrapping_mul(g[0]).wrapping_add(g[1])]
}

type Item = [i64; 2];
const BYTES: usize = size_of::<Item>();

/// What rank `rank` brings at position `i`.
fn brought(rank: usize, i: usize) -> Item {
    [3 + 2 * rank as i64 + (i as i64 % 5) * 2, 1 + rank as i64 * 7 + i as i64]
}

fn all_brought(rank: usize, len: usize) -> Vec<Item> {
    (0..len).map(|i| brought(rank, i)).collect()
}

fn folded(ranks: std::ops::Range<usize>, i: usize) -> Item {
    let first = ranks.start;
    ranks.skip(1).fold(brought(first, i), |acc, rank| compose(acc, brought(rank, i)))
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Blocking,
    Waited,
    Tested,
}

/// Sides, in elements.
#[derive(Clone, Copy)]
enum Lay<'a> {
    Absent,
    One(usize),
    Each(usize),
    Spans(&'a [(usize, usize)]),
    InPlace,
}

fn run(
    comm: &Local,
    form: Form,
    call: Call,
    root: Option<usize>,
    send: (&[Item], Lay<'_>),
    recv: (&mut [Item], Lay<'_>),
    reduces: bool,
) -> Outcome<()> {
    let spans = |lay: Lay<'_>| match lay {
        Lay::Spans(spans) => spans.iter().map(|s| Span { at: s.0 * BYTES, len: s.1 * BYTES }).collect(),
        _ => Vec::new(),
    };
    let (sent, received): (Vec<Span>, Vec<Span>) = (spans(send.1), spans(recv.1));
    fn layout<'a>(lay: Lay<'_>, spans: &'a [Span]) -> Layout<'a> {
        match lay {
            Lay::Absent => Layout::Absent,
            Lay::One(n) => Layout::One(n * BYTES),
            Lay::Each(n) => Layout::Each(n * BYTES),
            Lay::Spans(_) => Layout::Spans(spans),
            Lay::InPlace => Layout::InPlace,
        }
    }
    let op = Reduction::of::<Item, _>(compose);
    let part = Collective {
        call,
        root,
        kind: (call != Call::Barrier).then_some(Item::KIND),
        send: Side { data: send.0.as_ptr().cast(), layout: layout(send.1, &sent) },
        recv: Side { data: recv.0.as_mut_ptr().cast(), layout: layout(recv.1, &received) },
        op: reduces.then_some(&op),
    };
    assert!(part.send.layout.reach(comm.size()) <= size_of_val(send.0));
    assert!(part.recv.layout.reach(comm.size()) <= size_of_val(recv.0));
    // SAFETY: the buffers are borrowed until we return, by when the call is over.
    unsafe {
        match form {
            Form::Blocking => comm.collective(&part, Location::caller()),
            Form::Waited => {
                let mut request = comm.start(&part, Location::caller())?;
                drop((sent, received));
                comm.wait(&mut request).map(drop)
            }
            Form::Tested => {
                let mut request = comm.start(&part, Location::caller())?;
                drop((sent, received));
                while comm.test(&mut request)?.is_none() {
                    std::thread::yield_now();
                }
                Ok(())
            }
        }
    }
}

const ABSENT: Side<'static, *const u8> = Side { data: std::ptr::null(), layout: Layout::Absent };
const ABSENT_MUT: Side<'static, *mut u8> = Side { data: std::ptr::null_mut(), layout: Layout::Absent };

fn barrier(comm: &Local) -> Outcome<()> {
    run(comm, Form::Blocking, Call::Barrier, None, (&[], Lay::Absent), (&mut [], Lay::Absent), false)
}

const LENGTHS: [usize; 7] = [0, 1, 3, 6, 7, 1000, 30_011];
const UNTOUCHED: Item = [-7, -7];

fn everywhere(f: impl Fn(&Local, Form, usize) + Sync) {
    for size in 1..=8 {
        ranks(size, |comm| {
            for len in LENGTHS {
                for form in [Form::Blocking, Form::Waited, Form::Tested] {
                    f(comm, form, len);
                }
            }
        });
    }
}

#[test]
fn barrier_and_bcast() {
    everywhere(|comm, form, len| {
        run(comm, form, Call::Barrier, None, (&[], Lay::Absent), (&mut [], Lay::Absent), false).unwrap();
        for root in 0..comm.size() {
            let mut data = if comm.rank() == root { all_brought(root, len) } else { vec![UNTOUCHED; len] };
            run(comm, form, Call::Bcast, Some(root), (&[], Lay::Absent), (&mut data, Lay::One(len)), false)
                .unwrap();
            assert_eq!(data, all_brought(root, len), "{form:?}");
        }
    });
}

#[test]
fn reductions_to_one_and_to_all() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let expected: Vec<Item> = (0..len).map(|i| folded(0..size, i)).collect();
        let mine = all_brought(me, len);
        for root in 0..size {
            let mut got = vec![UNTOUCHED; if me == root { len } else { 0 }];
            let lay = if me == root { Lay::One(len) } else { Lay::Absent };
            run(comm, form, Call::Reduce, Some(root), (&mine, Lay::One(len)), (&mut got, lay), true).unwrap();
            assert!(me != root || got == expected);
            let mut both = mine.clone();
            let (send, recv) = match me == root {
                true => (Lay::InPlace, Lay::One(len)),
                false => (Lay::One(len), Lay::Absent),
            };
            run(comm, form, Call::Reduce, Some(root), (&mine, send), (&mut both, recv), true).unwrap();
            assert_eq!(both, if me == root { expected.clone() } else { mine.clone() });
        }
        let mut got = vec![UNTOUCHED; len];
        run(comm, form, Call::Allreduce, None, (&mine, Lay::One(len)), (&mut got, Lay::One(len)), true)
            .unwrap();
        assert_eq!(got, expected);
        let mut both = mine.clone();
        run(comm, form, Call::Allreduce, None, (&[], Lay::InPlace), (&mut both, Lay::One(len)), true)
            .unwrap();
        assert_eq!(both, expected);
        // Some in place, some not.
        let mut both = mine.clone();
        let send = if me % 2 == 0 { Lay::InPlace } else { Lay::One(len) };
        run(comm, form, Call::Allreduce, None, (&mine, send), (&mut both, Lay::One(len)), true).unwrap();
        assert_eq!(both, expected);
    });
}

#[test]
fn scans() {
    everywhere(|comm, form, len| {
        let me = comm.rank();
        let mine = all_brought(me, len);
        for (call, upto) in [(Call::Scan, me + 1), (Call::Exscan, me)] {
            let reference = |untouched: &[Item]| -> Vec<Item> {
                (0..len).map(|i| if upto == 0 { untouched[i] } else { folded(0..upto, i) }).collect()
            };
            let mut got = vec![UNTOUCHED; len];
            run(comm, form, call, None, (&mine, Lay::One(len)), (&mut got, Lay::One(len)), true).unwrap();
            assert_eq!(got, reference(&vec![UNTOUCHED; len]), "{call:?} {form:?}");
            let mut both = mine.clone();
            run(comm, form, call, None, (&[], Lay::InPlace), (&mut both, Lay::One(len)), true).unwrap();
            assert_eq!(both, reference(&mine), "{call:?} {form:?} in place");
        }
    });
}

#[test]
fn reduce_scatters() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let expected =
            |at: usize, len: usize| -> Vec<Item> { (at..at + len).map(|i| folded(0..size, i)).collect() };
        let mine = all_brought(me, len * size);
        let mut got = vec![UNTOUCHED; len];
        let call = Call::ReduceScatterBlock;
        run(comm, form, call, None, (&mine, Lay::Each(len)), (&mut got, Lay::One(len)), true).unwrap();
        assert_eq!(got, expected(me * len, len));
        let mut both = mine.clone();
        run(comm, form, call, None, (&[], Lay::InPlace), (&mut both, Lay::Each(len)), true).unwrap();
        assert_eq!(both[..len], expected(me * len, len));

        let spans = uneven(size, len, 0);
        let total = spans.iter().map(|s| s.1).sum();
        let mine = all_brought(me, total);
        let (at, own) = spans[me];
        let mut got = vec![UNTOUCHED; own];
        let call = Call::ReduceScatter;
        run(comm, form, call, None, (&mine, Lay::Spans(&spans)), (&mut got, Lay::One(own)), true).unwrap();
        assert_eq!(got, expected(at, own));
        let mut both = mine.clone();
        run(comm, form, call, None, (&[], Lay::InPlace), (&mut both, Lay::Spans(&spans)), true).unwrap();
        assert_eq!(both[..own], expected(at, own));
    });
}

/// Blocks of different lengths, some of them empty, `gap` apart.
fn uneven(size: usize, len: usize, gap: usize) -> Vec<(usize, usize)> {
    let mut at = 0;
    (0..size)
        .map(|rank| {
            let span = (at, if rank % 3 == 1 { 0 } else { len * (rank + 1) / size });
            at += span.1 + gap;
            span
        })
        .collect()
}

fn reach(spans: &[(usize, usize)]) -> usize {
    spans.iter().map(|s| s.0 + s.1).max().unwrap_or(0)
}

#[test]
fn gathers() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let mine = all_brought(me, len);
        let expected: Vec<Item> = (0..size).flat_map(|rank| all_brought(rank, len)).collect();
        for root in (0..size).step_by(2) {
            for in_place in [false, true] {
                let mut got = vec![UNTOUCHED; if me == root { len * size } else { 0 }];
                let (mut send, mut lay) = (Lay::One(len), Lay::Absent);
                if me == root {
                    lay = Lay::Each(len);
                    if in_place {
                        send = Lay::InPlace;
                        got[me * len..][..len].copy_from_slice(&mine);
                    }
                }
                run(comm, form, Call::Gather, Some(root), (&mine, send), (&mut got, lay), false).unwrap();
                assert!(me != root || got == expected);
            }
        }
        let mut got = vec![UNTOUCHED; len * size];
        run(comm, form, Call::Allgather, None, (&mine, Lay::One(len)), (&mut got, Lay::Each(len)), false)
            .unwrap();
        assert_eq!(got, expected);
        let mut both = vec![UNTOUCHED; len * size];
        both[me * len..][..len].copy_from_slice(&mine);
        run(comm, form, Call::Allgather, None, (&[], Lay::InPlace), (&mut both, Lay::Each(len)), false)
            .unwrap();
        assert_eq!(both, expected);
    });
}

#[test]
fn uneven_gathers() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let spans = uneven(size, len, 2);
        let mine = all_brought(me, spans[me].1);
        let mut expected = vec![UNTOUCHED; reach(&spans)];
        for (rank, &(at, len)) in spans.iter().enumerate() {
            expected[at..at + len].copy_from_slice(&all_brought(rank, len));
        }
        let mut own = vec![UNTOUCHED; reach(&spans)];
        own[spans[me].0..][..spans[me].1].copy_from_slice(&mine);
        let one = Lay::One(mine.len());
        for root in (0..size).step_by(2) {
            for in_place in [false, true] {
                let mut got = if me == root { own.clone() } else { Vec::new() };
                let lay = if me == root { Lay::Spans(&spans) } else { Lay::Absent };
                let send = if in_place && me == root { Lay::InPlace } else { one };
                run(comm, form, Call::Gatherv, Some(root), (&mine, send), (&mut got, lay), false).unwrap();
                assert!(me != root || got == expected);
            }
        }
        for send in [one, Lay::InPlace] {
            let mut got = own.clone();
            run(comm, form, Call::Allgatherv, None, (&mine, send), (&mut got, Lay::Spans(&spans)), false)
                .unwrap();
            assert_eq!(got, expected);
        }
    });
}

#[test]
fn scatters() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let spans = uneven(size, len, 1);
        for root in (0..size).step_by(2) {
            for in_place in [false, true] {
                let absent = in_place && me == root;
                let all = all_brought(root, (len * size).max(reach(&spans)));
                let mut got = vec![UNTOUCHED; if absent { 0 } else { len }];
                let send = if me == root { Lay::Each(len) } else { Lay::Absent };
                let recv = if absent { Lay::InPlace } else { Lay::One(len) };
                run(comm, form, Call::Scatter, Some(root), (&all, send), (&mut got, recv), false).unwrap();
                assert!(absent || got == all[me * len..][..len]);

                let (at, own) = spans[me];
                let mut got = vec![UNTOUCHED; if absent { 0 } else { own }];
                let send = if me == root { Lay::Spans(&spans) } else { Lay::Absent };
                let recv = if absent { Lay::InPlace } else { Lay::One(own) };
                run(comm, form, Call::Scatterv, Some(root), (&all, send), (&mut got, recv), false).unwrap();
                assert!(absent || got == all[at..][..own]);
            }
        }
    });
}

#[test]
fn alltoalls() {
    everywhere(|comm, form, len| {
        let (size, me) = (comm.size(), comm.rank());
        let block = |from: usize, to: usize, len: usize| -> Vec<Item> {
            (0..len).map(|i| [from as i64, (to * 100_000 + i) as i64]).collect()
        };
        let len = len.min(5000);
        let mine: Vec<Item> = (0..size).flat_map(|to| block(me, to, len)).collect();
        let expected: Vec<Item> = (0..size).flat_map(|from| block(from, me, len)).collect();
        let mut got = vec![UNTOUCHED; len * size];
        run(comm, form, Call::Alltoall, None, (&mine, Lay::Each(len)), (&mut got, Lay::Each(len)), false)
            .unwrap();
        assert_eq!(got, expected);
        let mut both = mine.clone();
        run(comm, form, Call::Alltoall, None, (&[], Lay::InPlace), (&mut both, Lay::Each(len)), false)
            .unwrap();
        assert_eq!(both, expected);

        // What `from` sends to `to` has a length of its own, the same both ways where it is in place.
        for symmetric in [false, true] {
            let count = |from: usize, to: usize| match symmetric {
                true => len * ((from + to) % 3) / 2,
                false => len * ((2 * from + to) % 4) / 3,
            };
            let pack = |count: &dyn Fn(usize) -> usize, gap: usize| -> Vec<(usize, usize)> {
                let mut at = 0;
                (0..size)
                    .map(|rank| {
                        at += gap + count(rank);
                        (at - count(rank), count(rank))
                    })
                    .collect()
            };
            let sent = pack(&|to| count(me, to), 1);
            let received = pack(&|from| count(from, me), 2);
            let mut expected = vec![UNTOUCHED; reach(&received)];
            for (from, &(at, n)) in received.iter().enumerate() {
                expected[at..at + n].copy_from_slice(&block(from, me, n));
            }
            let lay_out = |spans: &[(usize, usize)]| {
                let mut data = vec![UNTOUCHED; reach(spans)];
                for (to, &(at, n)) in spans.iter().enumerate() {
                    data[at..at + n].copy_from_slice(&block(me, to, n));
                }
                data
            };
            let mut got = vec![UNTOUCHED; reach(&received)];
            let (send, recv) =
                ((&lay_out(&sent)[..], Lay::Spans(&sent)), (&mut got[..], Lay::Spans(&received)));
            run(comm, form, Call::Alltoallv, None, send, recv, false).unwrap();
            assert_eq!(got, expected);
            if symmetric {
                let mut both = lay_out(&received);
                let recv = (&mut both[..], Lay::Spans(&received));
                run(comm, form, Call::Alltoallv, None, (&[], Lay::InPlace), recv, false).unwrap();
                assert_eq!(both, expected);
            }
        }
    });
}

fn mismatch(outcome: Outcome<()>) -> String {
    match outcome {
        Err(Fault::Mismatch(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn disagreements_are_told_to_all_and_nothing_is_copied() {
    for form in [Form::Blocking, Form::Waited, Form::Tested] {
        for size in [2, 3, 5] {
            ranks(size, |comm| {
                let me = comm.rank();
                let odd = usize::from(me == size - 1);
                // With six a contribution is as long as a small one may be.
                for len in [1, 6, 5000] {
                    // Lengths.
                    let mut data = vec![UNTOUCHED; len + odd];
                    let lay = Lay::One(len + odd);
                    let outcome =
                        run(comm, form, Call::Bcast, Some(0), (&[], Lay::Absent), (&mut data, lay), false);
                    assert!(mismatch(outcome).contains("elements") || BYTES == 16);
                    assert!(data.iter().all(|&x| x == UNTOUCHED));
                    // Roots.
                    let mut data = all_brought(me, len);
                    let recv = (&mut data[..], Lay::One(len));
                    let outcome = run(comm, form, Call::Bcast, Some(odd), (&[], Lay::Absent), recv, false);
                    assert!(mismatch(outcome).contains("root"));
                    assert_eq!(data, all_brought(me, len));
                    // Calls.
                    let call = if odd == 1 { Call::Scan } else { Call::Allreduce };
                    let mut got = vec![UNTOUCHED; len];
                    let send = (&data[..], Lay::One(len));
                    let outcome = run(comm, form, call, None, send, (&mut got, Lay::One(len)), true);
                    assert!(mismatch(outcome).contains("is in "));
                    // One block of many.
                    let spans = uneven(size, len, 0);
                    let n = spans[me].1 + odd;
                    let mine = all_brought(me, n);
                    let mut got = vec![UNTOUCHED; reach(&spans)];
                    let recv = (&mut got[..], Lay::Spans(&spans));
                    let outcome = run(comm, form, Call::Allgatherv, None, (&mine, Lay::One(n)), recv, false);
                    assert!(mismatch(outcome).starts_with(&format!("rank {} gives", size - 1)));
                    assert!(got.iter().all(|&x| x == UNTOUCHED));
                }
                run(comm, form, Call::Barrier, None, (&[], Lay::Absent), (&mut [], Lay::Absent), false)
                    .unwrap();
            });
        }
    }
}

#[test]
fn blocking_and_nonblocking_in_different_order() {
    ranks(3, |comm| {
        let start = || {
            let (send, recv) = (ABSENT, ABSENT_MUT);
            let part = Collective { call: Call::Barrier, root: None, kind: None, send, recv, op: None };
            // SAFETY: there are no buffers.
            unsafe { comm.start(&part, Location::caller()) }.unwrap()
        };
        let (mut request, outcome);
        if comm.rank() == 1 {
            outcome = barrier(comm);
            request = start();
        } else {
            request = start();
            outcome = barrier(comm);
        }
        assert!(mismatch(outcome).contains("same order"));
        comm.wait(&mut request).unwrap();
        barrier(comm).unwrap();
    });
}

#[test]
fn many_under_way_and_finished_in_any_order() {
    for size in [1, 2, 4, 7] {
        ranks(size, |comm| {
            let op = Reduction::of::<Item, _>(compose);
            for round in 0..20 {
                let lens: Vec<usize> = (0..10).map(|i| (i * 37 + round) % 2000).collect();
                let sends: Vec<Vec<Item>> = lens.iter().map(|&len| all_brought(comm.rank(), len)).collect();
                let mut recvs: Vec<Vec<Item>> = lens.iter().map(|&len| vec![UNTOUCHED; len]).collect();
                let mut requests: Vec<_> = sends
                    .iter()
                    .zip(&mut recvs)
                    .map(|(send, recv)| {
                        let layout = Layout::One(size_of_val(&send[..]));
                        let part = Collective {
                            call: Call::Allreduce,
                            root: None,
                            kind: Some(Item::KIND),
                            send: Side { data: send.as_ptr().cast(), layout },
                            recv: Side { data: recv.as_mut_ptr().cast(), layout },
                            op: Some(&op),
                        };
                        // SAFETY: both stay until the waits below.
                        unsafe { comm.start(&part, Location::caller()) }.unwrap()
                    })
                    .collect();
                let shift = comm.rank() * 3 + round;
                for i in 0..requests.len() {
                    let i = (i + shift) % requests.len();
                    comm.wait(&mut requests[i]).unwrap();
                }
                for (recv, &len) in recvs.iter().zip(&lens) {
                    let expected: Vec<Item> = (0..len).map(|i| folded(0..size, i)).collect();
                    assert_eq!(*recv, expected);
                }
            }
        });
    }
}

/// More small ones than there are places, ended from the last to the first, and one that is never ended.
#[test]
fn many_small_ones_under_way() {
    for size in [1, 2, 3] {
        ranks(size, |comm| {
            let op = Reduction::of::<Item, _>(compose);
            let start = |send: &[Item], recv: &mut [Item]| {
                let layout = Layout::One(BYTES);
                let part = Collective {
                    call: Call::Allreduce,
                    root: None,
                    kind: Some(Item::KIND),
                    send: Side { data: send.as_ptr().cast(), layout },
                    recv: Side { data: recv.as_mut_ptr().cast(), layout },
                    op: Some(&op),
                };
                // SAFETY: the buffers stay until all have been ended, or are leaked.
                unsafe { comm.start(&part, Location::caller()) }.unwrap()
            };
            let forgotten = Vec::leak(vec![UNTOUCHED; 2]);
            let (send, recv) = forgotten.split_at_mut(1);
            std::mem::forget(start(send, recv));
            for round in 0..20 {
                let sends: Vec<Item> = (0..40).map(|i| brought(comm.rank(), i + round)).collect();
                let mut recvs = vec![UNTOUCHED; 40];
                let mut requests: Vec<_> =
                    sends.chunks(1).zip(recvs.chunks_mut(1)).map(|(send, recv)| start(send, recv)).collect();
                // Ranks end them in different orders, and give one up.
                if comm.rank() % 2 == 0 {
                    requests.reverse();
                }
                let given_up = if comm.rank() % 2 == 0 { 39 - 7 } else { 7 };
                assert!(comm.cancel(&mut requests[given_up]));
                for (i, request) in requests.iter_mut().enumerate() {
                    if i != given_up {
                        comm.wait(request).unwrap();
                    }
                }
                for (i, got) in recvs.iter().enumerate() {
                    let expected = folded(0..size, i + round);
                    assert!(*got == expected || i == 7 && *got == UNTOUCHED, "{i}: {got:?}");
                }
            }
            barrier(comm).unwrap();
        });
    }
}

#[test]
fn taking_back_one_part_ends_it_for_all() {
    ranks(4, |comm| {
        let mut data = vec![brought(comm.rank(), 0); 300];
        let recv = Side { data: data.as_mut_ptr().cast(), layout: Layout::One(300 * BYTES) };
        let send = Side { data: std::ptr::null(), layout: Layout::InPlace };
        let op = Reduction::of::<Item, _>(compose);
        let kind = Some(Item::KIND);
        let part = Collective { call: Call::Allreduce, root: None, kind, send, recv, op: Some(&op) };
        // SAFETY: `data` outlives the operation.
        let mut request = unsafe { comm.start(&part, Location::caller()) }.unwrap();
        if comm.rank() == 2 {
            assert!(comm.cancel(&mut request));
        } else if comm.rank() == 1 {
            // Too late: all have started it, or one has taken it back.
            while comm.test(&mut request).is_ok_and(|done| done.is_none()) {}
        } else {
            match comm.wait(&mut request) {
                Ok(_) => assert!(data.iter().all(|&x| x == folded(0..4, 0))),
                Err(fault) => {
                    assert!(mismatch(Err(fault)).contains("rank 2 has taken back"));
                    assert!(data.iter().all(|&x| x == brought(comm.rank(), 0)));
                }
            }
        }
        barrier(comm).unwrap();
    });
}

#[test]
fn a_panic_in_an_operator_is_raised_once_and_the_others_hear_of_it() {
    fn fails(_: Item, _: Item) -> Item {
        panic!("no")
    }
    for form in [Form::Blocking, Form::Waited] {
        for len in [1, 40_000] {
            let ends = ranks(4, |comm| {
                let op = Reduction::of::<Item, _>(fails);
                let mut data = vec![brought(comm.rank(), 0); len];
                let recv = Side { data: data.as_mut_ptr().cast(), layout: Layout::One(len * BYTES) };
                let send = Side { data: std::ptr::null(), layout: Layout::InPlace };
                let kind = Some(Item::KIND);
                let part = Collective { call: Call::Allreduce, root: None, kind, send, recv, op: Some(&op) };
                // SAFETY: `data` outlives the call.
                let end = catch_unwind(AssertUnwindSafe(|| unsafe {
                    match form {
                        Form::Blocking => comm.collective(&part, Location::caller()),
                        _ => {
                            let mut request = comm.start(&part, Location::caller())?;
                            comm.wait(&mut request).map(drop)
                        }
                    }
                }));
                barrier(comm).unwrap();
                match end {
                    Err(_) => true,
                    Ok(Err(Fault::Aborted)) => false,
                    Ok(other) => panic!("{other:?}"),
                }
            });
            assert!(ends.iter().any(|&panicked| panicked), "{ends:?}");
        }
    }
}

/// One rank never comes; the others are let go, and their buffers are theirs again.
#[test]
fn a_job_that_goes_down_lets_everybody_go() {
    for form in [Form::Blocking, Form::Waited] {
        for len in [1, 20_000] {
            for size in [2, 3, 8] {
                ranks(size, |comm| {
                    let me = comm.rank();
                    if me == 1 {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        comm.world.abort();
                        return;
                    }
                    let mine = all_brought(me, len);
                    let mut all = vec![UNTOUCHED; len * size];
                    for _ in 0..2 {
                        let (send, recv) = ((&mine[..], Lay::One(len)), (&mut all[..], Lay::Each(len)));
                        let outcome = if form == Form::Blocking {
                            run(comm, form, Call::Allgather, None, send, recv, false)
                        } else {
                            let part = Collective {
                                call: Call::Allgather,
                                root: None,
                                kind: Some(Item::KIND),
                                send: Side { data: mine.as_ptr().cast(), layout: Layout::One(len * BYTES) },
                                recv: Side {
                                    data: all.as_mut_ptr().cast(),
                                    layout: Layout::Each(len * BYTES),
                                },
                                op: None,
                            };
                            // SAFETY: cancelled before the buffers go.
                            let mut request = unsafe { comm.start(&part, Location::caller()) }.unwrap();
                            let outcome = comm.wait(&mut request).map(drop);
                            assert!(comm.cancel(&mut request));
                            outcome
                        };
                        assert!(matches!(outcome, Err(Fault::Aborted)), "{outcome:?}");
                        assert!(all.iter().all(|&x| x == UNTOUCHED));
                    }
                });
            }
        }
    }
}
