//! Trees by a timer that moves only as the tests say.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use super::timer::Timer;
use super::timers::Timers;
use super::tree::Tree;
use super::*;
use crate::counters::Counters;
use crate::scope;

thread_local! {
    static SPENT: Cell<u64> = const { Cell::new(1 << 40) };
}

fn spend(amount: i64) {
    SPENT.set(SPENT.get().wrapping_add_signed(amount));
}

fn timers() -> &'static Timers {
    static TIMERS: OnceLock<Timers> = OnceLock::new();
    TIMERS.get_or_init(|| {
        let counters = Box::leak(Box::new(Counters::probe()));
        let spent = Timer::custom("spent", "x", || SPENT.get());
        Timers::new(&[spent], counters)
    })
}

fn tree() -> Box<Tree> {
    tree_by(timers())
}

fn tree_by(timers: &'static Timers) -> Box<Tree> {
    let mut tree = Box::new(Tree::new(timers));
    tree.called();
    tree
}

/// A poll of the request that has that tree.
fn poll(tree: &mut Option<Box<Tree>>, work: impl FnOnce()) {
    tree.as_mut().unwrap().begin();
    let outer = swap(tree.take());
    work();
    *tree = swap(outer);
    tree.as_mut().unwrap().end();
}

/// The tree of a request of one poll.
fn profile(work: impl FnOnce()) -> Box<Tree> {
    let mut recorded = Some(tree());
    poll(&mut recorded, work);
    recorded.unwrap()
}

/// Each node's path, calls and own value, in the order of their paths.
fn told(tree: &Tree) -> Vec<(String, u32, i64)> {
    let mut paths: Vec<String> = Vec::new();
    let mut told = Vec::new();
    for node in tree.nodes() {
        let path = node.site.map_or_else(String::new, |site| {
            format!("{}/{}", paths[node.parent as usize], site.function().name)
        });
        told.push((path.clone(), node.calls, node.own(0)));
        paths.push(path);
    }
    told.sort();
    told
}

fn expect(tree: &Tree, expected: &[(&str, u32, i64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|&(path, calls, own)| (path.to_owned(), calls, own))
        .collect();
    assert_eq!(told(tree), expected);
}

fn wrap(inner: impl FnOnce()) {
    scope!("wrap");
    spend(1);
    inner();
}

#[test]
fn what_a_wrapper_calls_for_one_is_not_taken_for_what_it_calls_for_another() {
    let tree = profile(|| {
        spend(100);
        for _ in 0..2 {
            scope!("a");
            spend(10);
            wrap(|| {
                scope!("x");
                spend(5);
            });
        }
        {
            scope!("b");
            wrap(|| {
                scope!("y");
                spend(-7);
            });
            spend(3);
        }
        spend(50);
    });
    let expected = [
        ("", 1, 150),
        ("/a", 2, 20),
        ("/a/wrap", 2, 2),
        ("/a/wrap/x", 2, 10),
        ("/b", 1, 3),
        ("/b/wrap", 1, 1),
        ("/b/wrap/y", 1, -7),
    ];
    expect(&tree, &expected);
}

#[test]
fn by_cpu_time_alone_calling_contexts_are_the_same() {
    fn down(left: u32) {
        scope!("down");
        if left > 0 {
            down(left - 1);
        }
    }
    fn work() {
        for _ in 0..3 {
            scope!("a");
            wrap(|| down(2));
            // The first to begin ends first, and takes the second with it.
            let first = Scope::enter(crate::__site!("first"));
            let second = Scope::enter(crate::__site!("second"));
            drop(first);
            scope!("after it");
            drop(second);
            drop(catch_unwind(|| {
                scope!("panics");
                wrap(|| std::panic::resume_unwind(Box::new(())));
            }));
        }
        let mut waits = std::pin::pin!(scope!("waits", async {
            scope!("inside");
            tokio::task::yield_now().await;
            down(0);
        }));
        let mut context = Context::from_waker(Waker::noop());
        while Future::poll(waits.as_mut(), &mut context).is_pending() {
            down(1);
        }
    }
    let counters = Box::leak(Box::new(Counters::probe()));
    let cpu_time = Box::leak(Box::new(Timers::new(&[Timer::CpuTime], counters)));
    assert!(cpu_time.is_cpu_time_alone());
    let contexts = |timers: &'static Timers| {
        let mut tree = Some(tree_by(timers));
        poll(&mut tree, work);
        let told = told(&tree.unwrap()).into_iter();
        told.map(|(path, calls, _)| (path, calls))
            .collect::<Vec<_>>()
    };
    let expected = contexts(timers());
    assert_eq!(contexts(cpu_time), expected);
    let calls = |path: &str| expected.iter().find(|(known, _)| known == path).unwrap().1;
    assert_eq!(calls("/a/wrap/down/down/down"), 3);
    assert_eq!(calls("/a/after it"), 3);
    assert_eq!(calls("/waits/inside/down"), 1);
}

#[test]
fn a_function_that_calls_itself_has_a_node_for_each_depth() {
    fn down(left: u32) {
        scope!("down");
        spend(1);
        if left > 0 {
            down(left - 1);
        }
        spend(10);
    }
    let tree = profile(|| {
        down(2);
        down(0);
    });
    let expected = [
        ("", 1, 0),
        ("/down", 2, 22),
        ("/down/down", 1, 11),
        ("/down/down/down", 1, 11),
    ];
    expect(&tree, &expected);
}

#[test]
fn a_panic_closes_the_scopes_that_it_leaves() {
    let tree = profile(|| {
        scope!("outer");
        let inner = || {
            scope!("inner");
            wrap(|| {
                spend(5);
                std::panic::resume_unwind(Box::new("not today"));
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(inner)).is_err());
        spend(20);
    });
    let expected = [
        ("", 1, 0),
        ("/outer", 1, 20),
        ("/outer/inner", 1, 0),
        ("/outer/inner/wrap", 1, 6),
    ];
    expect(&tree, &expected);
}

#[test]
fn scopes_that_end_in_another_order_end_with_the_outer_one() {
    let tree = profile(|| {
        let first = Scope::enter(crate::__site!("first"));
        let second = Scope::enter(crate::__site!("second"));
        spend(1);
        drop(first);
        spend(10);
        scope!("third");
        spend(100);
        drop(second);
        spend(1_000);
    });
    let expected = [
        ("", 1, 10),
        ("/first", 1, 0),
        ("/first/second", 1, 1),
        ("/third", 1, 1_100),
    ];
    expect(&tree, &expected);
}

#[test]
fn a_scope_that_outlives_its_request_or_its_own_end_closes_nothing() {
    let (mut kept, mut stale) = (None, None);
    let first = profile(|| {
        kept = Some(Scope::enter(crate::__site!("kept")));
        spend(1);
    });
    let second = profile(|| {
        scope!("own");
        spend(10);
        drop(kept.take());
        spend(20);
    });
    expect(&first, &[("", 1, 0), ("/kept", 1, 1)]);
    expect(&second, &[("", 1, 0), ("/own", 1, 30)]);
    let again = || Scope::enter(crate::__site!("again"));
    let third = profile(|| {
        {
            scope!("around");
            stale = Some(again());
        }
        scope!("around");
        let _anew = again();
        drop(stale.take());
        spend(7);
    });
    assert_eq!(told(&third).last().unwrap().2, 7, "{:?}", told(&third));
    drop(Scope::enter(crate::__site!("nowhere")));
}

#[test]
fn two_requests_that_take_turns_do_not_mix() {
    let (mut first, mut second) = (Some(tree()), Some(tree()));
    let mut one = Box::pin(scope!("one", async {
        spend(1);
        tokio::task::yield_now().await;
        spend(2);
        tokio::task::yield_now().await;
        spend(4);
    }));
    let mut two = Box::pin(scope!("two", async {
        for _ in 0..3 {
            spend(100);
            tokio::task::yield_now().await;
        }
    }));
    let mut context = Context::from_waker(Waker::noop());
    for turn in 0..3 {
        poll(&mut first, || {
            let polled = one.as_mut().poll(&mut context);
            assert_eq!(polled.is_ready(), turn == 2);
        });
        spend(1_000);
        poll(&mut second, || {
            spend(5);
            assert_eq!(two.as_mut().poll(&mut context), Poll::Pending);
        });
    }
    // Dropped before its end, in another request: there it was never called.
    poll(&mut first, || drop(two));
    expect(&first.unwrap(), &[("", 1, 0), ("/one", 1, 7)]);
    expect(&second.unwrap(), &[("", 1, 15), ("/two", 1, 300)]);
}

#[test]
fn a_block_that_waits_goes_on_in_its_future_and_a_future_is_dropped_in_its_scope() {
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            spend(500);
        }
    }
    let mut recorded = Some(tree());
    let mut waiting = Some(Box::pin(scope!("waits", async {
        let _dropped = Dropped;
        scope!("block");
        spend(1);
        tokio::task::yield_now().await;
        spend(2);
        std::future::pending::<()>().await;
    })));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        poll(&mut recorded, || {
            let waiting = waiting.as_mut().unwrap().as_mut();
            assert!(waiting.poll(&mut context).is_pending());
            spend(10);
        });
    }
    poll(&mut recorded, || drop(waiting.take()));
    let expected = [("", 1, 20), ("/waits", 1, 500), ("/waits/block", 1, 3)];
    expect(&recorded.unwrap(), &expected);
    // A future that nobody polled was not called.
    let tree = profile(|| drop(scope!("never", async { spend(1) })));
    expect(&tree, &[("", 1, 0)]);
}

#[test]
fn futures_of_one_function_at_the_same_time_are_so_many_calls_of_it() {
    async fn part(cost: i64) {
        for _ in 0..3 {
            spend(cost);
            tokio::task::yield_now().await;
        }
    }
    let mut recorded = Some(tree());
    let mut both = Box::pin(async {
        let part = |cost| scope!("part", part(cost));
        tokio::join!(part(1), part(10), part(100))
    });
    let mut context = Context::from_waker(Waker::noop());
    let mut ready = false;
    while !ready {
        poll(&mut recorded, || {
            ready = both.as_mut().poll(&mut context).is_ready();
        });
    }
    // The sites differ by the place in the code, not by the future.
    expect(&recorded.unwrap(), &[("", 1, 0), ("/part", 3, 333)]);
}

#[test]
fn what_is_done_elsewhere_is_found_where_it_was_started() {
    let mut child = None;
    let mut parent = profile(|| {
        scope!("outer");
        spend(1);
        child = with(|tree| Box::new(tree.branch()));
    });
    poll(&mut child, || {
        spend(10);
        scope!("inner");
        spend(100);
    });
    parent.join(&child.unwrap());
    let expected = [("", 1, 0), ("/outer", 1, 11), ("/outer/inner", 1, 100)];
    expect(&parent, &expected);
}

#[test]
fn a_request_of_too_many_contexts_keeps_its_sum() {
    fn down(left: u32) {
        if left > 0 {
            scope!("down");
            spend(1);
            down(left - 1);
        }
    }
    let tree = profile(|| down(5_000));
    let told = told(&tree);
    assert_eq!(told.len(), 1_024);
    assert_eq!(told.iter().map(|told| told.2).sum::<i64>(), 5_000);
    assert_eq!(tree.folded(), 5_000 - 1_023);
    let mut joined = profile(|| wrap(|| ()));
    joined.join(&tree);
    assert_eq!(joined.nodes().map(|node| node.own(0)).sum::<i64>(), 5_001);
    assert_eq!(joined.folded(), tree.folded() + 1);
}

#[test]
fn a_timer_that_is_a_scope_itself_records_nothing_of_its_own() {
    let counters = Box::leak(Box::new(Counters::probe()));
    let nosy = Timer::custom("nosy", "x", || {
        scope!("inside of the timer");
        3
    });
    let timers: &'static Timers = Box::leak(Box::new(Timers::new(&[nosy], counters)));
    let mut recorded = Some(Box::new(Tree::new(timers)));
    poll(&mut recorded, || wrap(|| ()));
    assert_eq!(told(&recorded.unwrap()).len(), 2);
}
