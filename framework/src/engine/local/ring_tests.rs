//! What the ring promises to one thread; what it promises to two is in `tests/loom.rs`.

use super::ring::Ring;
use std::sync::Arc;

#[test]
fn letters_come_in_order_and_full_is_said() {
    let ring = Ring::new(4);
    for lap in 0..10 {
        for i in 0..4 {
            // SAFETY: one thread.
            assert!(unsafe { ring.push(lap * 4 + i) }.is_ok());
        }
        // SAFETY: one thread.
        assert_eq!(unsafe { ring.push(99) }, Err(99));
        for i in 0..4 {
            assert!(ring.ready());
            // SAFETY: one thread.
            assert_eq!(unsafe { ring.pop() }, Some(lap * 4 + i));
        }
        assert!(!ring.ready());
    }
}

#[test]
fn what_is_left_is_dropped() {
    let token = Arc::new(());
    let ring = Ring::new(4);
    // SAFETY: one thread.
    let _ = unsafe { ring.push(token.clone()) };
    drop(ring);
    assert_eq!(Arc::strong_count(&token), 1);
}
