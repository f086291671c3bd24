//! Work whose number of instructions is known in advance. Also used by `agent/tests/hardware.rs`.
#![expect(unsafe_code, reason = "only assembly says what is executed")]

use std::arch::asm;

/// Executes two instructions a turn, and a few around that are the same for any number of turns
/// (at least one).
#[inline(never)]
pub(crate) fn work(turns: u64) {
    assert!(turns > 0, "a loop that counts down to zero");
    // SAFETY: changes a register of its own and the flags, nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "2:",
            "sub {left}, 1",
            "jnz 2b",
            left = inout(reg) turns => _,
            options(nomem, nostack)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "2:",
            "subs {left}, {left}, #1",
            "b.ne 2b",
            left = inout(reg) turns => _,
            options(nomem, nostack)
        );
    }
}
