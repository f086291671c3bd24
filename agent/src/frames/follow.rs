//! How frame pointers lead from a function to its callers.
//!
//! The frame register of a function that keeps it points to a pair of words on the stack: the caller's own frame
//! pointer, and where the caller goes on.
#![expect(
    unsafe_code,
    reason = "reads a register and the words that it points to"
)]

const WORD: usize = size_of::<usize>();
/// What lies at a frame.
const PAIR: usize = 2 * WORD;

/// Writes where each caller goes on, the innermost first, and says how many there are. `pair_at` reads the two words
/// at a place if that can be. Without frame pointers there are none, or a few that lead nowhere.
///
/// Neither allocates nor locks nor panics, so that it may run wherever a thread is.
#[inline(always)]
pub(crate) fn follow(
    mut frame: usize,
    mut pair_at: impl FnMut(usize) -> Option<[usize; 2]>,
    into: &mut [u64],
) -> usize {
    let mut found = 0;
    while let Some(place) = into.get_mut(found) {
        if frame == 0 || !frame.is_multiple_of(WORD) {
            break;
        }
        let Some([next, goes_on]) = pair_at(frame) else {
            break;
        };
        if goes_on == 0 {
            break;
        }
        *place = goes_on as u64;
        found += 1;
        // Callers' frames lie further up, so that it ends.
        if next < frame.saturating_add(PAIR) {
            break;
        }
        frame = next;
    }
    found
}

/// The frame register of the function that this is a part of.
#[inline(always)]
pub(super) fn register() -> usize {
    let frame: usize;
    // SAFETY: copies a register, and does nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let frame = 0;
    frame
}

/// A part of the calling thread's stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    lowest: usize,
    end: usize,
}

impl Bounds {
    /// # Safety
    ///
    /// Both lie on the calling thread's stack, or one word behind it, as long as the bounds are used.
    #[inline(always)]
    pub(super) unsafe fn new(lowest: usize, end: usize) -> Self {
        Self { lowest, end }
    }

    /// The two words at that place, which is a multiple of a word's size, if both lie within.
    #[inline(always)]
    pub(super) fn pair_at(self, frame: usize) -> Option<[usize; 2]> {
        let last = self.end.checked_sub(PAIR)?;
        if !(self.lowest..=last).contains(&frame) || !frame.is_multiple_of(WORD) {
            return None;
        }
        let at = frame as *const usize;
        // SAFETY: aligned, and within a part of the thread's own stack, all of which is mapped.
        Some(unsafe { [at.read_volatile(), at.add(1).read_volatile()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_rises_and_stops_at_anything_else() {
        let follow_in = |memory: &[[usize; 2]], frame: usize| {
            let pair_at = |at: usize| memory.get(at.checked_sub(0x1000)? / PAIR).copied();
            let mut into = [0; 8];
            let found = follow(frame, pair_at, &mut into);
            into[..found].to_vec()
        };
        let at = |number: usize| 0x1000 + number * PAIR;
        let whole = [[at(1), 7], [at(2), 8], [0, 9]];
        assert_eq!(follow_in(&whole, at(0)), [7, 8, 9]);
        assert_eq!(follow_in(&whole, at(2)), [9]);
        assert_eq!(follow_in(&whole, at(3)), [0; 0], "nothing is there");
        assert_eq!(follow_in(&whole, at(0) + 1), [0; 0], "not aligned");
        assert_eq!(follow_in(&whole, 0), [0; 0]);
        let ring = [[at(1), 7], [at(0), 8]];
        assert_eq!(follow_in(&ring, at(0)), [7, 8], "it ends");
        let overlapping = [[at(0) + WORD, 7]];
        assert_eq!(follow_in(&overlapping, at(0)), [7]);
        assert_eq!(follow_in(&[[at(1), 7], [at(2), 0]], at(0)), [7]);
        let mut small = [0; 2];
        let endless = |at| Some([at + PAIR, 5]);
        assert_eq!(follow(at(0), endless, &mut small), 2, "no more room");
        assert_eq!(follow(at(0), endless, &mut []), 0);
    }

    #[test]
    fn nothing_is_read_outside_of_the_bounds() {
        let words = [1_usize, 2, 3, 4];
        let start = words.as_ptr() as usize;
        // SAFETY: a variable of this function.
        let bounds = unsafe { Bounds::new(start, start + size_of_val(&words)) };
        assert_eq!(bounds.pair_at(start), Some([1, 2]));
        assert_eq!(bounds.pair_at(start + PAIR), Some([3, 4]));
        for outside in [start - WORD, start + 3 * WORD, start + 4 * WORD, start + 1] {
            assert_eq!(bounds.pair_at(outside), None);
        }
        // SAFETY: as above; nothing lies between.
        assert_eq!(unsafe { Bounds::new(start, 0) }.pair_at(start), None);
    }
}
