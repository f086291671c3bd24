//! Reading the process's own memory where it may not be there.
#![expect(unsafe_code, reason = "process_vm_readv is a C call")]

use std::io;

/// The two words at that address, if there is memory. Safe in a signal handler.
pub(super) fn two_words(address: usize) -> Option<[usize; 2]> {
    read(address).ok()
}

/// Whether memory can be read so.
pub(super) fn try_it() -> io::Result<()> {
    let words = [7_usize, 9];
    match read(words.as_ptr() as usize)? {
        read if read == words => Ok(()),
        _ => Err(io::Error::other("it reads something else")),
    }
}

fn read(address: usize) -> io::Result<[usize; 2]> {
    let mut words = [0_usize; 2];
    let bytes = size_of_val(&words);
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: bytes,
    };
    let remote = libc::iovec {
        iov_base: address as *mut _,
        iov_len: bytes,
    };
    // SAFETY: writes to `words` alone, which has room for it; from where it reads the kernel checks.
    let read = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    match usize::try_from(read) {
        Ok(read) if read == bytes => Ok(words),
        Ok(_) => Err(io::Error::other("it reads less")),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
