use super::counter::Counter;
use super::rusage::{Whose, rusage};

/// Accesses to memory that the kernel had to provide first, from a file or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageFaults(pub(crate) Whose);

impl Counter for PageFaults {
    fn name(&self) -> &'static str {
        match self.0 {
            Whose::Thread => "page_faults",
            Whose::Process => "process_page_faults",
        }
    }

    fn unit(&self) -> &'static str {
        "faults"
    }

    fn access(&self) -> Result<&str, &str> {
        Ok(self.0.read_by())
    }

    fn read(&self) -> Option<u64> {
        rusage(self.0).map(|usage| usage.page_faults)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Writes to that many pages that nobody has used before. Mapped by hand, since an allocator keeps what was given
    /// back to it.
    #[expect(unsafe_code, reason = "memory fresh from the kernel")]
    fn fault(pages: usize) {
        let bytes = pages * 4096;
        // SAFETY: a new mapping wherever there is room, of this length, that nobody else knows and that is given back.
        unsafe {
            let fresh = libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(fresh, libc::MAP_FAILED);
            for at in (0..bytes).step_by(4096) {
                fresh.cast::<u8>().add(at).write_volatile(1);
            }
            assert_eq!(libc::munmap(fresh, bytes), 0);
        }
    }

    fn during(counter: PageFaults, work: impl FnOnce()) -> u64 {
        let before = counter.read().unwrap();
        work();
        counter.read().unwrap() - before
    }

    #[test]
    fn pages_used_for_the_first_time_are_counted_for_their_thread_and_the_process() {
        // 16 MiB: huge pages make one fault of 512.
        const PAGES: usize = 4096;
        const AT_LEAST: u64 = 8;
        assert!(during(PageFaults(Whose::Thread), || fault(PAGES)) >= AT_LEAST);
        assert!(during(PageFaults(Whose::Process), || fault(PAGES)) >= AT_LEAST);
        // Threads are made before, which takes memory too.
        let (begin, end) = (Barrier::new(2), Barrier::new(2));
        let (here, there) = thread::scope(|scope| {
            let there = scope.spawn(|| {
                begin.wait();
                let there = during(PageFaults(Whose::Thread), || fault(PAGES));
                end.wait();
                there
            });
            let here = during(PageFaults(Whose::Thread), || {
                begin.wait();
                end.wait();
            });
            (here, there.join().unwrap())
        });
        assert!(here < there, "{here} here, {there} there");
    }
}
