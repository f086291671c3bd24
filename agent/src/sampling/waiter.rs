//! Waits until one of many rings is half full.
#![expect(unsafe_code, reason = "epoll is a C interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What is watched; a descriptor that is closed is forgotten by itself.
#[derive(Debug)]
pub(super) struct Waiter(OwnedFd);

impl Waiter {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes a flag and touches no memory.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: opened just now, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    pub(super) fn watch(&self, descriptor: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        // SAFETY: `event` is valid during the call; a descriptor that is not open gives an error.
        let answer = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor,
                &raw mut event,
            )
        };
        if answer == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits at most that long; says whether anything is there to be read.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let longest = i32::try_from(longest.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `event` has room for the one that is asked for.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, longest) > 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_wakes_for_what_is_watched_until_that_is_closed() {
        let waiter = Waiter::new().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        waiter.watch(far.as_raw_fd()).unwrap();
        assert!(!waiter.wait(Duration::ZERO));
        near.write_all(&[1]).unwrap();
        assert!(waiter.wait(Duration::from_secs(60)));
        drop(far);
        assert!(!waiter.wait(Duration::ZERO));
        assert!(waiter.watch(-1).is_err());
    }
}
