//! The system calls that the standard library does not wrap. All of the crate's unsafe code.
#![expect(
    unsafe_code,
    reason = "clocks, the page size, the C library's version and raw reads are C calls"
)]

use std::os::fd::RawFd;

/// CPU time of the calling thread, ns.
pub(crate) fn thread_cpu_ns() -> Option<u64> {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU clock of a thread, for the others to read while that one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The calling thread's.
    pub(crate) fn own() -> Option<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is there, and `clock` outlives the call, which writes nothing else.
        let answer = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (answer == 0).then_some(Self(clock))
    }

    /// CPU time of that thread, ns.
    pub(crate) fn read(self) -> Option<u64> {
        clock_ns(self.0)
    }
}

/// Time since some moment before the process began, ns: it goes on at one pace whatever the clock
/// on the wall is set to.
pub(crate) fn monotonic_ns() -> u64 {
    // The kernel always has this clock.
    clock_ns(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CPU time of all threads of the process, ended ones too, ns.
pub(crate) fn process_cpu_ns() -> Option<u64> {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call, which writes nothing else.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if answer != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u64::try_from(time.tv_nsec).ok()?;
    Some(seconds * 1_000_000_000 + nanoseconds)
}

/// The kernel's number of the calling thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// The C library that the program runs with: `glibc 2.36`, or what it was built for.
pub(crate) fn c_library() -> String {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes nothing, and gives a text that is there as long as the process.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        format!("glibc {}", version.to_string_lossy())
    }
    #[cfg(not(target_env = "gnu"))]
    if cfg!(target_env = "musl") {
        "musl".to_owned()
    } else {
        "a C library that is not known".to_owned()
    }
}

/// Bytes of a page of memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: sysconf takes any number and touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// The three numbers that a read of a perf counter gives: count, time enabled, time running.
///
/// Read by hand because `perf_event::Counter` asserts on what the kernel answers, and nothing may
/// panic in a request.
pub(crate) fn read_perf_counter(counter: RawFd) -> Option<[u64; 3]> {
    let mut answer = [0_u64; 3];
    let wanted = size_of_val(&answer);
    // SAFETY: the buffer is valid for `wanted` bytes, and any bytes are a valid u64. A descriptor
    // that is not open gives an error, no more.
    let read = unsafe { libc::read(counter, answer.as_mut_ptr().cast(), wanted) };
    (usize::try_from(read) == Ok(wanted)).then_some(answer)
}
