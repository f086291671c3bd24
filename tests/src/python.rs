use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::left_out::left_out;

/// A Python environment of a test's own, in the target folder, with what the file `tests/python/{name}.txt`
/// lists. It is made once, and again when the list changes.
///
/// `None`, and said to be left out, if there is no Python with `venv`, or no package registry to
/// be reached, and this is not the CI.
///
/// # Panics
/// In the CI (`CI` is set) if it cannot be made.
#[must_use]
pub fn python(name: &str) -> Option<PathBuf> {
    match environment(name) {
        Ok(folder) => Some(folder.join("bin")),
        Err(why) if std::env::var_os("CI").is_some() => panic!("{why}"),
        Err(why) => {
            left_out(why);
            None
        }
    }
}

fn environment(name: &str) -> Result<PathBuf, String> {
    // Two tests at once would make it over each other.
    static MADE_BY_ONE: Mutex<()> = Mutex::new(());
    let _made_by_one = MADE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("python/{name}.txt"));
    let wanted =
        fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    // A test lies in target/debug/deps.
    let target = own.ancestors().nth(3).ok_or("no target folder")?;
    let folder = target.join("python").join(name);
    let made = folder.join("made-of.txt");
    if fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    ran(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .map_err(|why| format!("{why}; Debian has it in the package python3-venv"))?;
    let mut install = Command::new(folder.join("bin/pip"));
    install.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    ran(install.arg(&list))?;
    fs::write(&made, wanted).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// What it says.
pub(crate) fn ran(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let [out, err] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    if output.status.success() {
        return Ok(out.into_owned());
    }
    Err(format!("{command:?} failed: {out}{err}"))
}
