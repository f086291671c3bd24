//! Whether the program keeps frame pointers, so that a stack can be walked from outside of it.
#![expect(unsafe_code, reason = "a part of the stack is told by its bounds")]

use std::hint::black_box;

use super::follow::{Bounds, follow, register};

/// Whether functions of this program keep frame pointers; `None` where it is not known how to tell.
pub(crate) fn are_kept() -> Option<bool> {
    const CALLS: usize = 8;
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return None;
    }
    // All frames of what is called from here lie below it.
    let mark = 0_u8;
    let end = black_box(&raw const mark) as usize;
    let found = |calls| deep(calls, &mut || frames_until(end));
    let (few, more) = (found(0), found(CALLS));
    Some(few > 0 && more == few + CALLS)
}

/// How many frames there are from here up to that place on this thread's stack.
#[inline(never)]
fn frames_until(end: usize) -> usize {
    let here = 0_u8;
    // SAFETY: a variable of this function, and one of a caller.
    let bounds = unsafe { Bounds::new(&raw const here as usize, end) };
    let mut frames = [0; 32];
    black_box(follow(
        register(),
        |frame| bounds.pair_at(frame),
        &mut frames,
    ))
}

/// Does the work below so many calls that all go on at the same place.
#[inline(never)]
pub(crate) fn deep<T>(calls: usize, work: &mut dyn FnMut() -> T) -> T {
    let done = match calls {
        0 => work(),
        _ => deep(black_box(calls - 1), work),
    };
    // So that it comes back here and is no loop.
    black_box(done)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// These very files, as a program that says what it has found.
    fn found_when_built_with(flags: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("main.rs"), folder.path().join("program"));
        let module = |name: &str| {
            let file = format!("{}/src/frames/{name}.rs", env!("CARGO_MANIFEST_DIR"));
            format!("#[path = {file:?}] mod {name};\n")
        };
        let main = "fn main() { print!(\"{:?}\", kept::are_kept()); }\n";
        let text = [&module("follow"), &module("kept"), main].concat();
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
        // And, as in CI, where the whole program is built so.
        if std::env::var("APPWEIGHT_TEST_SAMPLING").is_ok_and(|how| how == "require") {
            assert_eq!(are_kept(), Some(true));
        }
    }
}
