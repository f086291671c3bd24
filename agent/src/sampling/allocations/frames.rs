//! The calling thread's stack by its frame pointers.
//!
//! Safe in whatever state the thread is: nothing is called that allocates or locks, and nothing is read but the
//! thread's own stack between here and its end, wherever a register happens to point to.
#![expect(
    unsafe_code,
    reason = "reads a register and the words that it points to"
)]

use std::arch::asm;
use std::cell::Cell;
use std::mem::MaybeUninit;

thread_local! {
    /// Where the thread's stack ends, once it was asked for.
    static END: Cell<usize> = const { Cell::new(NOT_ASKED) };
}
const NOT_ASKED: usize = 0;
/// Nobody knows where it ends: nothing is read.
const UNKNOWN: usize = 1;

const WORD: usize = size_of::<usize>();

/// Writes where each caller goes on, the innermost first, and says how many there are. Without frame pointers there are
/// none, or a few that lead nowhere.
#[inline(never)]
pub(super) fn walk(into: &mut [u64]) -> usize {
    let end = end();
    let here = 0_u8;
    let mut lowest = &raw const here as usize;
    let mut frame = register();
    let mut found = 0;
    while let Some(place) = into.get_mut(found) {
        // The frame's two words lie above what is in use here, and below the stack's end.
        let is_within = frame >= lowest
            && frame.is_multiple_of(WORD)
            && end.checked_sub(2 * WORD).is_some_and(|last| frame <= last);
        if !is_within {
            break;
        }
        let at = frame as *const usize;
        // SAFETY: aligned, and between a variable that is on this stack and the stack's end, all of which is mapped
        // and belongs to this thread.
        let (next, goes_on) = unsafe { (at.read_volatile(), at.add(1).read_volatile()) };
        if goes_on == 0 {
            break;
        }
        *place = goes_on as u64;
        found += 1;
        // Callers' frames lie further up, so that it ends.
        lowest = frame + 2 * WORD;
        frame = next;
    }
    found
}

#[inline(always)]
fn register() -> usize {
    let frame: usize;
    // SAFETY: copies a register, and does nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let frame = 0;
    frame
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
            let found = walk(&mut frames);
            assert!(found <= 64 && frames[..found].iter().all(|frame| *frame != 0));
            assert!(END.get() > UNKNOWN);
            assert!(walk(&mut frames[..1]) <= 1);
            assert_eq!(walk(&mut []), 0);
        };
        walked();
        std::thread::spawn(walked).join().unwrap();
    }
}
