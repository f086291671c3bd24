//! Whether the program keeps frame pointers, so that a stack can be walked from outside of it.

#![expect(
    unsafe_code,
    reason = "the frame is found through registers, and read where it lies"
)]

/// Whether functions of this program keep frame pointers; `None` where it is not known how to tell.
///
/// The frame register of a function that keeps it points to a pair on the stack: the caller's own, and where
/// the caller goes on.
pub(crate) fn are_kept() -> Option<bool> {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return None;
    }
    Some(std::hint::black_box(caller as fn() -> bool)())
}

/// Bytes of machine code that this function takes at most.
const CODE: usize = 1_024;

#[inline(never)]
fn caller() -> bool {
    let mark = 0_u8;
    let mark = std::hint::black_box(std::ptr::from_ref(&mark)) as usize;
    let known = is_my_caller(caller as fn() -> bool as usize, mark);
    // Something to do afterwards, so that the call is none of the kind that leaves no frame.
    std::hint::black_box(known)
}

/// Whether the frame register leads to a place inside of the function at that address, which has `mark` in its
/// own frame.
#[inline(never)]
fn is_my_caller(address: usize, mark: usize) -> bool {
    // Something that lies in this function's frame, which is so set up before the register is looked at.
    let own = 0_u8;
    let own = std::hint::black_box(std::ptr::from_ref(&own)) as usize;
    let frame = frame_register();
    // The frame lies between the two; whatever else is in the register (the frame of somebody further up who keeps
    // one) does not.
    if !frame.is_multiple_of(align_of::<usize>()) || !(own..mark).contains(&frame) {
        return false;
    }
    // SAFETY: aligned, and below something that lies on this stack.
    let goes_on = unsafe { (frame as *const usize).add(1).read() };
    (address..address + CODE).contains(&goes_on)
}

#[inline(always)]
fn frame_register() -> usize {
    let frame: usize;
    // SAFETY: reads a register.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nostack, preserves_flags));
    }
    // SAFETY: reads a register.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("mov {}, x29", out(reg) frame, options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        frame = 0;
    }
    frame
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// This very file, as a program that says what it has found.
    fn found_when_built_with(flags: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("main.rs"), folder.path().join("program"));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctor/frame_pointers.rs");
        let text = format!(
            "#[path = {file:?}] mod frame_pointers;\nfn main() {{ print!(\"{{:?}}\", frame_pointers::are_kept()); }}\n"
        );
        fs::write(&source, text).unwrap();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let built = Command::new(rustc)
            .args(["--edition=2024", "-O", "-o"])
            .args([&program, &source])
            .args(flags)
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        let ran = Command::new(&program).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    }

    #[test]
    fn they_are_found_where_the_compiler_was_told_to_keep_them() {
        let kept = found_when_built_with(&["-Cforce-frame-pointers=yes"]);
        assert_eq!(kept, "Some(true)");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(found_when_built_with(&[]), "Some(false)");
        }
        assert_eq!(are_kept(), are_kept());
    }
}
