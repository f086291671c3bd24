//! Where measurements lie: each thread keeps some that have ended for those that begin, so that none is allocated in a
//! steady flow of requests.

use std::cell::RefCell;

use crate::measurement::Measurement;

/// How many a thread keeps, some hundred bytes each.
const KEPT: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "a measurement stays where it is while it runs")]
    static STOCK: RefCell<Vec<Box<Measurement>>> = const { RefCell::new(Vec::new()) };
}

/// One that has ended, if the thread keeps any.
#[inline]
pub(crate) fn take() -> Option<Box<Measurement>> {
    let taken = STOCK.try_with(|stock| stock.try_borrow_mut().ok()?.pop());
    taken.ok().flatten()
}

/// Keeps one that has ended.
#[inline]
pub(crate) fn give_back(measurement: Box<Measurement>) {
    // What does not fit in, or comes when the thread ends, is dropped.
    let _ = STOCK.try_with(move |stock| {
        if let Ok(mut stock) = stock.try_borrow_mut()
            && stock.len() < KEPT
        {
            stock.push(measurement);
        }
    });
}
