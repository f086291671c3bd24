#![expect(
    unsafe_code,
    reason = "the thread's CPU time is read by a system call that std does not offer"
)]

use std::time::Duration;

/// The CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that lives until after the call, which writes nothing else.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(
        result, 0,
        "every Linux since 2.6 has CLOCK_THREAD_CPUTIME_ID"
    );
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_work_and_not_sleep() {
        let start = thread_cpu();
        std::thread::sleep(Duration::from_millis(20));
        assert!(thread_cpu() - start < Duration::from_millis(15));
        while thread_cpu() - start < Duration::from_millis(20) {}
    }
}
