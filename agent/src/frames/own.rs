//! The calling thread's stack.
//!
//! Safe in whatever state the thread is: nothing is called that allocates or locks, and nothing is read but the
//! thread's own stack between here and its end, wherever a register happens to point to.
#![expect(unsafe_code, reason = "where a stack ends is asked of the C library")]

use std::cell::Cell;
use std::mem::MaybeUninit;

use super::follow::{Bounds, follow, register};

thread_local! {
    /// Where the thread's stack ends, once it was asked for.
    static END: Cell<usize> = const { Cell::new(NOT_ASKED) };
}
const NOT_ASKED: usize = 0;
/// Nobody knows where it ends: nothing is read.
const UNKNOWN: usize = 1;

/// Writes where each caller of the calling thread goes on, the innermost first, and says how many there are.
#[inline(never)]
pub(crate) fn own_stack(into: &mut [u64]) -> usize {
    let here = 0_u8;
    // SAFETY: a variable of this function, and the end of the stack on which it lies; where that is not known, nothing
    // lies between.
    let bounds = unsafe { Bounds::new(&raw const here as usize, end()) };
    follow(register(), |frame| bounds.pair_at(frame), into)
}

fn end() -> usize {
    match END.get() {
        NOT_ASKED => {
            END.set(UNKNOWN);
            let end = ask().unwrap_or(UNKNOWN);
            END.set(end);
            end
        }
        end => end,
    }
}

/// Asks the C library, which may read a file for the process's first thread.
#[cold]
fn ask() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: fills the attributes of the calling thread in, if it succeeds.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut lowest, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were filled in, and what is written to lives here; they are destroyed once.
    let answer = unsafe {
        let answer =
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        answer
    };
    let end = (lowest as usize).checked_add(bytes)?;
    let here = &raw const bytes as usize;
    // A coroutine runs on a stack that the C library does not know.
    (answer == 0 && (lowest as usize..end).contains(&here)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_within_the_stack_in_every_thread() {
        let walked = || {
            let mut frames = [0; 64];
            let found = own_stack(&mut frames);
            assert!(found <= 64 && frames[..found].iter().all(|frame| *frame != 0));
            assert!(END.get() > UNKNOWN);
            assert!(own_stack(&mut frames[..1]) <= 1);
            assert_eq!(own_stack(&mut []), 0);
        };
        walked();
        std::thread::spawn(walked).join().unwrap();
    }
}
