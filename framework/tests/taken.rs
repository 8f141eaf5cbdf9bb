//! A rank that the system stops just after it has taken the last message there was is not one that waits for it: a watch
//! that looks all the time, beside more threads than cores, says nothing of it.

use rankine::testing::Trial;
use rankine::{ANY_SOURCE, Comm, Result};
use std::time::{Duration, Instant};

/// Messages of a round, each the only one of its tag.
const TAGS: i32 = 400;

/// Takes a message from somebody with that tag.
type Take = fn(&Comm, i32) -> Result<()>;

const CALLS: [(&str, Take); 5] = [
    ("mprobe", |comm, tag| comm.mprobe::<u8>(0, tag)?.recv(&mut [0]).map(drop)),
    ("recv", |comm, tag| comm.recv(&mut [0u8], ANY_SOURCE, tag).map(drop)),
    ("recv_vec", |comm, tag| comm.recv_vec::<u8>(ANY_SOURCE, tag).map(drop)),
    ("recv_view", |comm, tag| comm.recv_view(&mut ndarray::arr1(&[0u8]), ANY_SOURCE, tag).map(drop)),
    ("irecv_vec", |comm, tag| comm.irecv_vec::<u8>(ANY_SOURCE, tag)?.wait().map(drop)),
];

fn round(take: Take) -> Result<()> {
    Trial::new(2).checked(false).patience(Duration::from_micros(20)).run(move |comm| {
        if comm.rank() == 0 {
            return (0..TAGS).try_for_each(|tag| comm.send(&[1u8], 1, tag));
        }
        // The sender has returned by then.
        std::thread::sleep(Duration::from_millis(2));
        (0..TAGS).try_for_each(|tag| take(comm, tag))
    })
}

#[test]
fn what_has_just_been_taken_is_not_waited_for() {
    let began = Instant::now();
    std::thread::scope(|all| {
        for number in 0..10 {
            let (name, take) = CALLS[number % CALLS.len()];
            all.spawn(move || {
                while began.elapsed() < Duration::from_secs(3) {
                    round(take).unwrap_or_else(|error| panic!("{name}: {error}"));
                }
            });
        }
    });
}
