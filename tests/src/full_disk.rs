#![expect(
    unsafe_code,
    reason = "mounting a small disk and limiting a process's files are system calls that std does not offer"
)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory that holds so many bytes and no more. It goes away with this.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts it.
    ///
    /// # Errors
    /// If this process may not mount.
    ///
    /// # Panics
    /// If no folder can be made.
    pub fn mount(bytes: usize) -> io::Result<Self> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (target, options) = (path(folder.path())?, CString::new(format!("size={bytes}"))?);
        // SAFETY: all are strings that end in a zero and live through the call.
        let mounted = unsafe {
            libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV,
                options.as_ptr().cast(),
            )
        };
        if mounted == 0 {
            Ok(Self(folder))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets nobody write to it any more.
    ///
    /// # Errors
    /// If a file is open for writing, or this process may not.
    pub fn protect(&self) -> io::Result<()> {
        let target = path(self.path())?;
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: strings that end in a zero and live through the call; what is remounted needs no name and no options.
        let mounted = unsafe {
            libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                std::ptr::null(),
                flags,
                std::ptr::null(),
            )
        };
        if mounted == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Fills it up to its end.
    ///
    /// # Panics
    /// If it cannot be written at all.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&ballast);
        let mut file = file.expect("a file can be made");
        let full = io::copy(&mut io::repeat(0), &mut file).expect_err("it has an end");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(target) = path(self.0.path()) {
            // SAFETY: a string that ends in a zero and lives through the call. Who still has it open loses it later.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

/// Lets none of a program's files grow beyond so many bytes: its writes fail, instead of a signal that ends it.
pub fn limit_files(command: &mut Command, bytes: u64) {
    // SAFETY: both calls are async-signal-safe and touch no memory but their own.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: libc::RLIM_INFINITY,
            };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

/// Takes the limit off while the program runs.
///
/// # Panics
/// If that cannot be done.
pub fn unlimit_files(process: u32) {
    limit_files_of(process, libc::RLIM_INFINITY);
}

/// Sets another limit while the program runs; only for one that was started with a limit, which a signal would end else.
///
/// # Panics
/// If that cannot be done.
pub fn limit_files_of(process: u32, bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    let process = i32::try_from(process).expect("process ids are small");
    // SAFETY: the limit lives through the call, and none is asked back.
    let set = unsafe {
        libc::prlimit(
            process,
            libc::RLIMIT_FSIZE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
