//! Strided views of arrays, as messages: whatever layout on either side, the elements arrive in logical order.

use super::dice::Dice;
use super::p2p::{next, previous};
use ndarray::{Array1, Array2, Array3, ArrayViewD, ArrayViewMutD, Axis, Slice, s};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Error, ErrorKind, Result, Test};

/// How a random view lies in its array: an order of axes, and a slice of each.
#[derive(Clone)]
struct Cut {
    order: [usize; 3],
    slices: [Slice; 3],
}

impl Cut {
    /// A cut of an `n`-cube whose view has the shape `lengths`.
    fn new(dice: &mut Dice, n: usize, lengths: [usize; 3]) -> Cut {
        let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][dice.below(6)];
        let slices = lengths.map(|length| {
            let step = 1 + dice.below(2);
            let span = if length == 0 { 0 } else { (length - 1) * step + 1 };
            let start = dice.below(n - span + 1);
            let sign = if dice.below(2) == 0 { -1 } else { 1 };
            Slice::new(start as isize, Some((start + span) as isize), sign * step as isize)
        });
        Cut { order, slices }
    }

    fn of<'a>(&self, a: &'a Array3<u32>) -> ArrayViewD<'a, u32> {
        let mut view = a.view().permuted_axes(self.order).into_dyn();
        self.slices.iter().enumerate().for_each(|(axis, &slice)| view.slice_axis_inplace(Axis(axis), slice));
        view
    }

    fn of_mut<'a>(&self, a: &'a mut Array3<u32>) -> ArrayViewMutD<'a, u32> {
        let mut view = a.view_mut().permuted_axes(self.order).into_dyn();
        self.slices.iter().enumerate().for_each(|(axis, &slice)| view.slice_axis_inplace(Axis(axis), slice));
        view
    }
}

/// The cube of a rank in a round, as every rank can work it out.
fn cube(n: usize, rank: usize, round: usize) -> Array3<u32> {
    Array3::from_shape_fn((n, n, n), |(i, j, k)| (((rank * 31 + round) * n + i) * n * n + j * n + k) as u32)
}

/// What `into` looks like after the elements of `from` were laid into it, element by element.
fn expected(from: ArrayViewD<'_, u32>, into: &Cut, mut cube: Array3<u32>) -> Array3<u32> {
    into.of_mut(&mut cube).iter_mut().zip(from.iter()).for_each(|(into, &from)| *into = from);
    cube
}

pub fn any_layout_to_any_layout(world: &Comm) -> Result<()> {
    const N: usize = 24;
    let mut dice = Dice::new(11);
    for round in 0..40 {
        let lengths = [0; 3].map(|_| [0, 1, 2, 7, 12, 12, 12][dice.below(7)]);
        // As many elements, in another order of lengths.
        let (cut, other) =
            (Cut::new(&mut dice, N, lengths), Cut::new(&mut dice, N, [lengths[1], lengths[2], lengths[0]]));
        let mine = cube(N, world.rank(), round);
        let theirs = cube(N, previous(world), round);
        let empty = Array3::from_elem((N, N, N), u32::MAX);
        let wanted = expected(cut.of(&theirs), &other, empty.clone());

        let mut got = empty.clone();
        let status = world.sendrecv_view(
            &cut.of(&mine),
            next(world),
            5,
            &mut other.of_mut(&mut got),
            previous(world),
            5,
        )?;
        assert_eq!((status.len, status.source), (lengths.iter().product(), previous(world)));
        assert_eq!(got, wanted);

        // Forgotten handles.
        let mut got = empty.clone();
        world.scope(|s| {
            let _ = s.irecv_view(other.of_mut(&mut got), previous(world), 5)?;
            let _ = s.isend_view(cut.of(&mine), next(world), 5)?;
            Ok(())
        })?;
        assert_eq!(got, wanted);
        let mut got = empty.clone();
        world.scope(|s| {
            std::mem::forget(s.irecv_view(other.of_mut(&mut got), previous(world), 5)?);
            std::mem::forget(s.isend_view(cut.of(&mine), next(world), 5)?);
            Ok(())
        })?;
        assert_eq!(got, wanted);

        // From a rank in turn to all.
        let root = round % world.size();
        let rooted = cube(N, root, round);
        let mut got = if world.rank() == root { rooted.clone() } else { empty.clone() };
        let wanted = if world.rank() == root { rooted } else { expected(cut.of(&rooted), &other, empty) };
        let mine = if world.rank() == root { &cut } else { &other };
        world.bcast_view(&mut mine.of_mut(&mut got), root)?;
        assert_eq!(got, wanted);
    }
    Ok(())
}

/// A column sent is a row or a slice received, blocking, large enough to be no small message.
pub fn columns_are_slices(world: &Comm) -> Result<()> {
    for n in [3, 300] {
        let a = Array2::from_shape_fn((n, n + 2), |(i, j)| (n * i + j) as f64);
        match world.rank() {
            0 => {
                world.send_view(&a.column(n), 1, 1)?;
                world.send_view(&a, 1, 2)?;
                world.send_view(&a.slice(s![.., 1..3]).reversed_axes(), 1, 3)?;
                world.send(&[1.5, 2.5, 3.5], 1, 4)?;
            }
            1 => {
                let mut slice = vec![0.0; n];
                world.recv(&mut slice, 0, 1)?;
                assert!(slice.iter().enumerate().all(|(i, &x)| x == (n * i + n) as f64));
                let mut whole = Array2::<f64>::zeros((n + 2, n)).reversed_axes();
                world.recv_view(&mut whole, 0, 2)?;
                assert_eq!(whole, a);
                let mut rows = Array2::<f64>::zeros((2, n));
                world.recv_view(&mut rows, 0, 3)?;
                assert_eq!(rows, a.slice(s![.., 1..3]).t());
                let mut backwards = Array1::<f64>::zeros(3);
                backwards.invert_axis(Axis(0));
                assert_eq!(world.recv_view(&mut backwards, 0, 4)?.len, 3);
                assert_eq!(backwards, ndarray::arr1(&[1.5, 2.5, 3.5]));
            }
            _ => {}
        }
    }
    world.barrier()
}

/// A view that comes back is a view again, of its old shape, and may be used a second time.
pub fn views_come_back(world: &Comm) -> Result<()> {
    let (mut strided, mut whole) = (Array2::zeros((6, 9)), Array2::zeros((6, 3)));
    let mine = Array2::from_elem((3, 6), world.rank() as u64 + 1);
    world.scope(|s| {
        let first = s.irecv_view(strided.slice_mut(s![.., ..;3]), previous(world), 1)?;
        let second = s.irecv_view(whole.view_mut(), previous(world), 2)?;
        let sends = [s.isend_view(mine.t(), next(world), 1)?, s.isend_view(mine.view(), next(world), 2)?];
        // The other way round than they were started.
        let (whole, status) = second.wait()?;
        assert_eq!((whole.shape(), status.tag, whole[[5, 2]]), (&[6, 3][..], 2, previous(world) as u64 + 1));
        let (mut strided, _) = first.wait()?;
        assert_eq!(strided.shape(), [6, 3]);
        strided[[0, 0]] = 77;
        sends.into_iter().try_for_each(|send| send.wait())
    })?;
    assert_eq!((strided[[0, 0]], strided[[0, 1]], strided[[5, 6]]), (77, 0, previous(world) as u64 + 1));
    Ok(())
}

/// Handles that are asked until they are done, of views that are packed and of views that are not; the last handles are
/// asked once and left to the scope.
pub fn tested_until_done(world: &Comm) -> Result<()> {
    fn done<D, R>(mut handle: R, test: impl Fn(R) -> Result<Test<D, R>>) -> Result<D> {
        loop {
            handle = match test(handle)? {
                Test::Done(done) => return Ok(done),
                Test::Pending(again) => again,
            };
        }
    }
    for n in [3, 400] {
        let mine = Array2::from_shape_fn((n, n), |(i, j)| (world.rank() * n + i * j) as i64);
        let theirs = Array2::from_shape_fn((n, n), |(i, j)| (previous(world) * n + i * j) as i64);
        let (mut strided, mut whole, mut left) =
            (Array2::zeros((n, 2 * n)), Array2::zeros((n, n)), Array2::<i64>::zeros((n, 2 * n)));
        world.scope(|s| {
            let mut first = s.irecv_view(strided.slice_mut(s![.., ..;2]), previous(world), 1)?;
            let second = s.irecv_view(whole.view_mut(), previous(world), 2)?;
            let third = s.irecv_view(left.slice_mut(s![.., ..;2]), previous(world), 3)?;
            // Nobody sends before all have looked.
            first = match first.test()? {
                Test::Pending(first) => first,
                Test::Done(_) => panic!("there was nothing to receive"),
            };
            world.barrier()?;
            let sends = [(mine.t(), 1), (mine.view(), 2), (mine.t(), 3)]
                .map(|(view, tag)| s.isend_view(view, next(world), tag));
            let (view, status) = done(first, |first| first.test())?;
            assert_eq!(
                (status.len, status.source, view),
                (n * n, previous(world), theirs.t().to_owned().view_mut())
            );
            let (view, status) = done(second, |second| second.test())?;
            assert_eq!((status.tag, view), (2, theirs.clone().view_mut()));
            let _ = third.test()?;
            sends.into_iter().try_for_each(|send| done(send?, |send| send.test()))
        })?;
        assert_eq!(left.slice(s![.., ..;2]), theirs.t());
        // A message that does not fit is an error here, too.
        let send = world.isend_owned(vec![1i64; 2], next(world), 1)?;
        let error = world.scope(|s| {
            done(s.irecv_view(strided.column_mut(1), previous(world), 1)?, |recv| recv.test()).map(drop)
        });
        let error = error.unwrap_err();
        assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains("views.rs:"), "{error}");
        send.wait()?;
    }
    Ok(())
}

/// More or fewer elements than the view has: an error, and the communicator still works.
pub fn lengths_that_differ(world: &Comm) -> Result<()> {
    let mut a = Array2::<f64>::zeros((4, 10));
    for sent in [0, 3, 5] {
        for straight in [false, true] {
            match world.rank() {
                0 => world.send(&vec![1.0; sent], 1, 1)?,
                1 => {
                    let error = match straight {
                        true => world.recv_view(&mut a.slice_mut(s![0, 3..7]), 0, 1),
                        false => world.recv_view(&mut a.column_mut(2), 0, 1),
                    };
                    check_length(error.unwrap_err(), sent);
                }
                _ => {}
            }
            match world.rank() {
                0 => world.send(&vec![1.0; sent], 1, 1)?,
                1 => {
                    let error = world.scope(|s| {
                        let r = match straight {
                            true => s.irecv_view(a.slice_mut(s![0, 3..7]), 0, 1)?,
                            false => s.irecv_view(a.column_mut(2), 0, 1)?,
                        };
                        r.wait().map(drop)
                    });
                    check_length(error.unwrap_err(), sent);
                }
                _ => {}
            }
        }
    }
    let sum = world.allreduce(1, rankine::op::Sum)?;
    assert_eq!(sum, world.size());
    Ok(())
}

fn check_length(error: Error, sent: usize) {
    let text = error.to_string();
    assert!(matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Truncated), "{text}");
    // Not every MPI library says how long a message is that does not fit.
    let told = text.contains(&format!("has {sent} elements")) || (sent > 4 && text.contains("is longer"));
    assert!(text.contains("rank 0, tag 1") && told, "{text}");
    assert!(text.contains("views.rs:") && text.contains("help:"), "{text}");
}

pub fn bad_ranks_and_types(world: &Comm) -> Result<()> {
    let mut a = Array2::<f64>::zeros((4, 4));
    let usage = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Usage);
    let n = world.size();
    usage(world.send_view(&a.column(0), n, 1));
    usage(world.send_view(&a, 0, -1));
    usage(world.recv_view(&mut a.column_mut(0), n, 1).map(drop));
    usage(world.bcast_view(&mut a.column_mut(0), n));
    usage(world.alltoall_views(&vec![a.column(0); n + 1], &mut [] as &mut [ndarray::ArrayViewMut1<f64>]));
    usage(world.scope(|s| s.isend_view(a.column(0), n, 1).map(drop)));
    usage(world.scope(|s| s.irecv_view(a.column_mut(0), n, 1).map(drop)));
    let send = world.isend_owned(vec![1i64; 4], next(world), 1)?;
    let error = world.recv_view(&mut a.column_mut(0), previous(world), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
    send.wait().map(drop)
}

/// A scope that fails takes its receives back, packed ones too: the message goes to the one that comes after.
pub fn failed_scope_takes_back(world: &Comm) -> Result<()> {
    let mut a = Array2::from_elem((3, 3), 1u8);
    let failed: Result<()> = world.scope(|s| {
        std::mem::forget(s.irecv_view(a.column_mut(1), ANY_SOURCE, 9)?);
        Err(Error::usage("on purpose"))
    });
    assert_eq!(failed.unwrap_err().what(), "on purpose");
    world.barrier()?;
    let send = world.isend_owned(vec![7u8; 3], next(world), 9)?;
    let mut later = Array1::<u8>::zeros(3);
    world.recv_view(&mut later, previous(world), 9)?;
    send.wait()?;
    assert_eq!((a, later), (Array2::from_elem((3, 3), 1), Array1::from_elem(3, 7)));
    Ok(())
}

/// A matrix spread by rows is spread by columns, and every pair's views have their own size; against index arithmetic.
pub fn alltoall_transposes(world: &Comm) -> Result<()> {
    let (p, me) = (world.size(), world.rank());
    for n in [0, 1, 5, 3 * p, 40 * p + 3] {
        let starts: Vec<usize> = (0..=p).map(|r| r * n / p).collect();
        let part = |r: usize| starts[r]..starts[r + 1];
        let a = Array2::from_shape_fn((part(me).len(), n), |(i, j)| ((starts[me] + i) * n + j) as u64);
        let mut b = Array2::from_elem((part(me).len(), n), u64::MAX);
        let send: Vec<_> = (0..p).map(|r| a.slice(s![.., part(r)])).collect();
        let mut recv = Vec::new();
        let mut rest = b.view_mut();
        for r in 0..p {
            let (chunk, after) = rest.split_at(Axis(1), part(r).len());
            recv.push(chunk.reversed_axes());
            rest = after;
        }
        // The author's wildcard receive does not meet it.
        let posted = world.irecv_owned(Vec::<u64>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
        world.alltoall_views(&send, &mut recv)?;
        assert!(b.indexed_iter().all(|((i, j), &x)| x == (j * n + starts[me] + i) as u64));
        let sent = world.isend_owned(vec![5u64], next(world), 0)?;
        assert_eq!(posted.wait()?.0, [5]);
        sent.wait()?;
    }
    Ok(())
}

/// One pair disagrees about its length: an error there, on that rank, and the next exchange is whole.
pub fn alltoall_with_a_wrong_length(world: &Comm) -> Result<()> {
    let (p, me) = (world.size(), world.rank());
    for (receiver, sender) in [(0, p - 1), (p - 1, 0), (p / 2, p / 2)] {
        let a = Array2::from_elem((4, 6), me as i32);
        let mut b = Array2::zeros((4, p));
        let rows = |r: usize| if (me, r) == (sender, receiver) { 3 } else { 4 };
        let send: Vec<_> = (0..p).map(|r| a.slice(s![..rows(r), r % 6])).collect();
        let mut recv: Vec<_> = b.columns_mut().into_iter().collect();
        match world.alltoall_views(&send, &mut recv) {
            Ok(()) => assert_ne!(me, receiver),
            Err(error) => {
                assert_eq!((me, error.kind()), (receiver, ErrorKind::Mismatch), "{error}");
                assert!(error.to_string().contains("views.rs:"), "{error}");
            }
        }
        let send: Vec<_> = (0..p).map(|r| a.slice(s![.., r % 6])).collect();
        let mut recv: Vec<_> = b.columns_mut().into_iter().collect();
        world.alltoall_views(&send, &mut recv)?;
        assert!(b.indexed_iter().all(|((_, j), &x)| x == j as i32));
    }
    Ok(())
}
