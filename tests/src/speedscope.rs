use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::left_out::left_out;
use crate::python::ran;

const VERSION: &str = "1.25.0";
/// As the registry has published it.
const SHA512: &str = "7297fd1d64d97f58a32d7049ae4f3b55eff9e2d9d8c7aae57f48144e1be7de8a24ea1eb784b5d539088c7f8e0f4fe5e8579d3770f7ef7e24f980fe6fa23a7a02";

/// What [Speedscope](https://www.speedscope.app)'s own importer makes of a file. Its npm package is fetched once into the target
/// folder. Of each profile in it `name`, `unit`, `total` and `frames`; of each frame `name`, `file`, `line`, `own` and `total`.
///
/// `None`, and said to be left out, if there is no npm, or no package registry to be reached, and this is not
/// the CI.
///
/// # Panics
/// In the CI (`CI` is set) if it cannot be had; everywhere if Speedscope cannot read the file.
#[must_use]
pub fn speedscope(file: &Path) -> Option<Value> {
    let program = match program() {
        Ok(program) => program,
        Err(why) if std::env::var_os("CI").is_some() => panic!("{why}"),
        Err(why) => {
            left_out(why);
            return None;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/speedscope.cjs");
    let said = ran(Command::new("node").arg(script).arg(program).arg(file));
    let said = said.unwrap_or_else(|why| panic!("{why}"));
    let shown = serde_json::from_str(&said);
    Some(shown.unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// The script that is the whole of it.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    // A test lies in target/debug/deps.
    let target = own.ancestors().nth(3).ok_or("no target folder")?;
    let folder = target.join("speedscope").join(VERSION);
    if !folder.exists() {
        fs::create_dir_all(target.join("speedscope")).map_err(|error| error.to_string())?;
        fetch(&folder)?;
    }
    let release = folder.join("package/dist/release");
    let files =
        fs::read_dir(&release).map_err(|error| format!("{}: {error}", release.display()))?;
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_program = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("speedscope-") && name.ends_with(".js")
    };
    paths
        .find(is_program)
        .ok_or_else(|| format!("no script in {}", release.display()))
}

fn fetch(folder: &Path) -> Result<(), String> {
    let place = tempfile::tempdir_in(folder.parent().ok_or("no folder")?)
        .map_err(|error| error.to_string())?;
    let pack = ran(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(place.path())
        .arg(format!("speedscope@{VERSION}")))?;
    let archive = place
        .path()
        .join(pack.lines().last().unwrap_or_default().trim());
    let sum = ran(Command::new("sha512sum").arg(&archive))?;
    if !sum.starts_with(SHA512) {
        return Err(format!(
            "{sum} is not what was published as speedscope {VERSION}"
        ));
    }
    ran(Command::new("tar")
        .args(["--extract", "--gzip", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(place.path()))?;
    // Whole or not at all, whoever else is at it.
    match fs::rename(place.keep(), folder) {
        Err(error) if !folder.exists() => Err(error.to_string()),
        _ => Ok(()),
    }
}
