//! The hub as its enemies and its friends meet it.

use super::super::{Board, Life, Settings};
use super::hub::{Hub, Outlets};
use super::member::Member;
use super::wire::Secret;
use super::{Endpoint, own_addresses};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Told = Arc<Mutex<Vec<String>>>;

fn settings(patience: u64) -> Settings {
    Settings { on: true, patience: Duration::from_millis(patience) }
}

/// The hub of a job of `size` ranks, of which it has the first, and what it tells.
fn hub(size: usize, patience: u64) -> (Hub, Endpoint, Arc<Board>, Told) {
    let (board, told) = (Arc::new(Board::new(0)), Told::default());
    let heard = told.clone();
    let outlets = Outlets {
        stuck: Box::new(|error| panic!("nobody is stuck: {error}")),
        told: Box::new(move |text| heard.lock().unwrap().push(text)),
    };
    let host = Some((Secret::random().unwrap(), own_addresses(true)));
    let boards = [board.clone()].into();
    let (hub, endpoint) = Hub::start(boards, size, "here".into(), settings(patience), host, outlets).unwrap();
    (hub, endpoint.expect("a hub that listens has an endpoint"), board, told)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_has_the_secret_sees_all_ranks() {
    let (_hub, endpoint, _board, _) = hub(2, 1000);
    let unseen = endpoint.view().unwrap();
    assert_eq!(unseen.iter().find(|view| view.rank == 1).map(|view| view.life), Some(Life::Unseen));
    let other = Arc::new(Board::new(1));
    let member =
        Member::start(other, "there".into(), settings(1000), Some(endpoint.clone()), |text| panic!("{text}"));
    let _member = member.unwrap();
    let node =
        |views: &[super::RankView]| views.iter().find(|view| view.rank == 1).map(|view| view.node.clone());
    wait_until("rank 1 is seen", || node(&endpoint.view().unwrap()).as_deref() == Some("there"));
}

#[test]
fn whoever_has_another_secret_sees_nothing() {
    let (_hub, endpoint, _board, _) = hub(1, 1000);
    let wrong = Endpoint::new(endpoint.addresses().to_vec(), &Secret::random().unwrap());
    assert!(wrong.view().is_err());
    assert_eq!(endpoint.view().unwrap().len(), 1);
}

/// Passes on what is said between the hub and one caller after the other, until it is cut.
struct Relay {
    endpoint: Endpoint,
    calls: Arc<Mutex<Vec<TcpStream>>>,
    /// How many have called.
    count: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Relay {
    fn to(hub: &Endpoint) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::new(vec![listener.local_addr().unwrap()], &hub.secret());
        let relay = Relay { endpoint, calls: Arc::default(), count: Arc::default(), closed: Arc::default() };
        let (kept, count, shut) = (relay.calls.clone(), relay.count.clone(), relay.closed.clone());
        let hub = hub.addresses()[0];
        std::thread::spawn(move || {
            for caller in listener.incoming() {
                let caller = caller.unwrap();
                if shut.load(Ordering::Acquire) {
                    return;
                }
                let called = TcpStream::connect(hub).unwrap();
                for (from, to) in [(&caller, &called), (&called, &caller)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    // Ends with the connection.
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
                kept.lock().unwrap().extend([caller, called]);
                count.fetch_add(1, Ordering::Release);
            }
        });
        relay
    }

    fn cut(&self) {
        self.calls.lock().unwrap().drain(..).for_each(|call| call.shutdown(Shutdown::Both).unwrap());
    }

    /// Cuts it, and nobody gets through any more.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.cut();
    }
}

/// A job of two ranks, one of which calls the hub through a relay.
struct Relayed {
    hub: Hub,
    endpoint: Endpoint,
    relay: Relay,
    boards: [Arc<Board>; 2],
    member: Member,
}

impl Relayed {
    fn start() -> Relayed {
        let (hub, endpoint, board, _) = hub(2, 1000);
        let relay = Relay::to(&endpoint);
        let other = Arc::new(Board::new(1));
        let through = Some(relay.endpoint.clone());
        let told = |text| panic!("{text}");
        let member = Member::start(other.clone(), "there".into(), settings(1000), through, told).unwrap();
        Relayed { hub, endpoint, relay, boards: [board, other], member }
    }

    fn return_all(&self) {
        self.boards.iter().for_each(|board| board.set_life(Life::Returned));
        self.member.wake();
        self.hub.wake();
    }
}

fn life_of(endpoint: &Endpoint, rank: u32) -> Option<Life> {
    endpoint.view().unwrap().iter().find(|view| view.rank == rank).map(|view| view.life)
}

#[test]
fn a_member_whose_connection_is_cut_comes_back() {
    let job = Relayed::start();
    for calls in 1..=3 {
        wait_until("it calls", || job.relay.count.load(Ordering::Acquire) == calls);
        wait_until("rank 1 is seen", || life_of(&job.endpoint, 1) == Some(Life::Running));
        job.relay.cut();
    }
    job.return_all();
    wait_until("all have said that they are through", || job.hub.has_ended());
}

#[test]
fn nobody_waits_for_a_member_that_is_out_of_reach() {
    let job = Relayed::start();
    wait_until("rank 1 is seen", || life_of(&job.endpoint, 1) == Some(Life::Running));
    job.relay.close();
    wait_until("it is missed", || life_of(&job.endpoint, 1) == Some(Life::Lost));
    job.return_all();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!job.hub.has_ended(), "what rank 1 did is not known");
    // What the ranks have told each other in another way.
    job.hub.all_have_returned();
    wait_until("it is over", || job.hub.has_ended());
}

/// A caller that says what it likes, and what it is answered.
fn call(endpoint: &Endpoint, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(endpoint.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = Vec::new();
    // It may have been sent away before it was through.
    let _ = stream.write_all(words).and_then(|()| stream.read_to_end(&mut answer));
    answer
}

#[test]
fn nonsense_is_dropped() {
    let (_hub, endpoint, _board, _) = hub(1, 1000);
    let greeting = [b"rankine1", &[7; 32][..]].concat();
    let nonsense: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n and more than forty bytes of it",
        &[0; 100_000],
        &[0xff; 100_000],
        &greeting,
        &[&greeting[..], &[1; 32][..]].concat(),
    ];
    for words in nonsense {
        let answer = call(&endpoint, words);
        // The host's number and proof at most: nothing that the secret is needed for.
        assert!(answer.len() <= 64, "{} bytes of answer", answer.len());
    }
    assert_eq!(endpoint.view().unwrap().len(), 1);
}

#[test]
fn a_flood_does_not_keep_others_out() {
    let (_hub, endpoint, _board, _) = hub(1, 1000);
    let stop = Arc::new(AtomicBool::new(false));
    let flooders: Vec<_> = (0..2)
        .map(|_| {
            let (stop, address) = (stop.clone(), endpoint.addresses()[0]);
            std::thread::spawn(move || {
                let mut calls = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    // Some stay, some go at once, all talk nonsense.
                    if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
                        let _ = stream.write_all(&[0x55; 4096]);
                        calls.push(stream);
                    }
                    if calls.len() > 100 {
                        calls.clear();
                    }
                }
            })
        })
        .collect();
    let mut seen = 0;
    let start = Instant::now();
    while seen < 3 && start.elapsed() < Duration::from_secs(30) {
        seen += usize::from(endpoint.view().is_ok());
    }
    stop.store(true, Ordering::Relaxed);
    flooders.into_iter().for_each(|flooder| flooder.join().unwrap());
    assert_eq!(seen, 3, "in {:?}", start.elapsed());
}

#[test]
fn a_member_that_cannot_reach_the_hub_says_what_it_knows() {
    use super::super::{Class, Key, Members, Need, What};
    let (board, told) = (Arc::new(Board::new(3)), Told::default());
    let context = board.add_context(1, Members::Same(4), None);
    let need = Need::new(What::Message, Key::new(Class::Wanted, context, Some(1), Some(7)), 1);
    board.enter(&"recv", std::panic::Location::caller(), &need);
    let heard = told.clone();
    let told_of = move |text| heard.lock().unwrap().push(text);
    // A port where nobody is.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(vec![closed], &Secret::random().unwrap());
    let member = Member::start(board, "there".into(), settings(20), Some(endpoint), told_of).unwrap();
    wait_until("it says so", || !told.lock().unwrap().is_empty());
    drop(member);
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("rank 3 has been blocked for ") && told[0].contains("recv from 1, tag 7"),
        "{}",
        told[0]
    );
    assert!(told[0].contains("the watch cannot reach rank 0"), "{}", told[0]);
}

#[test]
fn a_hub_that_cannot_ask_says_so() {
    use super::super::{Class, Key, Members, Need, What};
    let (_hub, _endpoint, board, told) = hub(2, 20);
    let context = board.add_context(1, Members::Same(2), None);
    let need = Need::new(What::Message, Key::new(Class::Wanted, context, Some(1), Some(7)), 1);
    board.enter(&"recv", std::panic::Location::caller(), &need);
    wait_until("it says so", || !told.lock().unwrap().is_empty());
    let told = told.lock().unwrap();
    assert!(
        told[0].contains("rank 1 could not be asked") && told[0].contains("rank 0  recv from 1, tag 7"),
        "{}",
        told[0]
    );
}
