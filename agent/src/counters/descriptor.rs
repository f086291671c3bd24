//! What is done to the descriptor of a perf event without the crate that opened it.
#![expect(unsafe_code, reason = "read and fcntl are C calls")]

use std::os::fd::RawFd;

/// Reads numbers and says how many there were. Allocates nothing and never panics, unlike reading
/// through the crate, which asserts on what the kernel answers.
pub(crate) fn read_numbers(descriptor: RawFd, numbers: &mut [u64]) -> Option<usize> {
    let bytes = size_of_val(numbers);
    // SAFETY: the buffer is valid for `bytes` bytes, and any bytes are valid numbers. A descriptor
    // that is not open gives an error, no more.
    let read = unsafe { libc::read(descriptor, numbers.as_mut_ptr().cast(), bytes) };
    usize::try_from(read)
        .ok()
        .map(|read| read / size_of::<u64>())
}

/// Keeps it from programs that the process starts: the crate opens events without that flag.
pub(crate) fn close_on_exec(descriptor: RawFd) {
    // SAFETY: sets a flag of a descriptor, touches no memory; what is not open gives an error.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn whole_numbers_are_read() {
        let mut file = tempfile();
        file.write_all(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3])
            .unwrap();
        let read = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        let mut numbers = [u64::MAX; 4];
        assert_eq!(read_numbers(read.as_raw_fd(), &mut numbers), Some(2));
        assert_eq!(numbers[..2], [1_u64.to_le(), 2_u64.to_le()]);
        assert_eq!(read_numbers(-1, &mut numbers), None);
    }

    fn tempfile() -> File {
        // SAFETY: the name ends with a zero; the descriptor is ours alone.
        unsafe {
            let descriptor = libc::memfd_create(c"numbers".as_ptr(), 0);
            assert!(descriptor >= 0);
            std::os::fd::FromRawFd::from_raw_fd(descriptor)
        }
    }
}
