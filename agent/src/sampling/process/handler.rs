//! The signal's handler, and the timer that sends it.
#![expect(unsafe_code, reason = "signals, their contexts and timers are C")]

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{STACKS, memory};
use crate::frames::follow;
use crate::sampling::allocations::FRAMES;

/// Sends the signal while it is there.
#[derive(Debug)]
pub(super) struct Timer(());

/// One at a time, as there is one such timer in a process.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Timer {
    /// Says why it cannot be had.
    pub(super) fn start(period_us: u32) -> Result<Self, String> {
        if IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Err("another agent of this process samples it".to_owned());
        }
        // From here on it is given back when it is dropped.
        let timer = Self(());
        let before = install().map_err(|error| format!("no handler for SIGPROF: {error}"))?;
        if ![libc::SIG_DFL, handler as *const () as usize].contains(&before.sa_sigaction) {
            put_back(&before);
            return Err("somebody else handles SIGPROF in this process".to_owned());
        }
        set_timer(period_us).map_err(|error| format!("no timer for SIGPROF: {error}"))?;
        Ok(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // The handler stays: a signal that is on its way would end the process without it.
        let _ = set_timer(0);
        IS_TAKEN.store(false, Ordering::Relaxed);
    }
}

fn action(handler: libc::sighandler_t) -> libc::sigaction {
    // SAFETY: an action is numbers and addresses, for which zeros are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // Calls that are interrupted go on, and a thread that has a stack for signals uses that.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    action
}

/// Gives back what handled the signal before.
fn install() -> io::Result<libc::sigaction> {
    let action = action(handler as *const () as usize);
    let mut before = self::action(libc::SIG_DFL);
    // SAFETY: both outlive the call, and the handler does what a handler may.
    match unsafe { libc::sigaction(libc::SIGPROF, &raw const action, &raw mut before) } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As it was, with its flags and its mask.
fn put_back(before: &libc::sigaction) {
    // SAFETY: it was in force just before.
    unsafe { libc::sigaction(libc::SIGPROF, before, ptr::null_mut()) };
}

fn set_timer(period_us: u32) -> io::Result<()> {
    let period = libc::timeval {
        tv_sec: libc::time_t::from(period_us / 1_000_000),
        tv_usec: libc::suseconds_t::from(period_us % 1_000_000),
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: the timer is read, and nothing is written.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn handler(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the calling thread's own, which always is.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: the kernel gives a handler that asked for it the context of what it interrupts.
    let [at, frame] = unsafe { registers(context.cast()) };
    if let Some(stacks) = STACKS.get() {
        let mut frames = [0; FRAMES];
        let [interrupted, callers @ ..] = &mut frames;
        *interrupted = at as u64;
        let found = 1 + follow(frame, memory::two_words, callers);
        stacks.add(stacks.place(&frames[..found], None), 0);
    }
    // SAFETY: as above; what was interrupted may be about to look at it.
    unsafe { *errno = before };
}

/// The instruction and the frame pointer.
///
/// # Safety
///
/// The context is valid.
unsafe fn registers(context: *const libc::ucontext_t) -> [usize; 2] {
    // SAFETY: as promised.
    let context = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let registers = [
        context.gregs[libc::REG_RIP as usize] as usize,
        context.gregs[libc::REG_RBP as usize] as usize,
    ];
    #[cfg(target_arch = "aarch64")]
    let registers = [context.pc as usize, context.regs[29] as usize];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let registers = {
        let _ = context;
        [0, 0]
    };
    registers
}

/// As a program does that wants none of these signals, in its own way.
#[cfg(test)]
pub(super) fn ignore_for_test() {
    let mut ignored = action(libc::SIG_IGN);
    ignored.sa_flags = libc::SA_NODEFER;
    put_back(&ignored);
}

/// Whether that is still in force, all of it.
#[cfg(test)]
pub(super) fn is_ignored_for_test() -> bool {
    let mut now = action(libc::SIG_DFL);
    // SAFETY: asks only, and what it is written to outlives the call.
    unsafe { libc::sigaction(libc::SIGPROF, ptr::null(), &raw mut now) };
    now.sa_sigaction == libc::SIG_IGN && now.sa_flags & libc::SA_NODEFER != 0
}
