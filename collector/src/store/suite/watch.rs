use crate::store::Store;
use crate::testing::{NOON, SECOND};

/// Two collectors on one store: the second waits until the first one gives the watch up, and after that until it is gone and its time has run out.
pub(in crate::store) async fn one_of_two_has_the_watch<S: Store>(first: S, second: S) {
    let at = |seconds: u64| NOON + seconds * SECOND;
    let hold = async |store: &S, from: u64, until: u64| {
        let held = store.hold_watch(at(from), at(until)).await;
        held.unwrap()
    };
    assert!(hold(&first, 0, 30).await);
    assert!(!hold(&second, 1, 31).await, "it is held");
    assert!(hold(&first, 20, 50).await, "it is renewed");
    second.let_watch_go(at(21)).await.unwrap();
    assert!(!hold(&second, 35, 65).await, "it was renewed");
    first.let_watch_go(at(36)).await.unwrap();
    assert!(hold(&second, 37, 67).await, "it was given up");
    assert!(!hold(&first, 38, 68).await);
    drop(second);
    assert!(hold(&first, 68, 98).await, "it ran out");
}
