use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use uuid::Uuid;

use crate::child::Child;
use crate::wait::eventually;

/// The address of a database of its own in the ClickHouse of the tests, as `--store` takes it.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn clickhouse_store() -> String {
    let url = std::env::var("CLICKHOUSE_URL")
        .expect("CLICKHOUSE_URL names no server: run `cargo xtask test`");
    store_at(&url)
}

fn store_at(url: &str) -> String {
    let address = url.replacen("http://", "clickhouse://", 1);
    format!("{address}/appweight_test_{}", Uuid::new_v4().simple())
}

/// A ClickHouse that can be killed: the engine in a process of its own.
#[derive(Debug)]
pub struct KillableClickhouse {
    library: PathBuf,
    front: PathBuf,
    folder: PathBuf,
    /// The folder, if it goes away with this.
    own: Option<TempDir>,
    url: String,
    child: Option<Child>,
}

impl KillableClickhouse {
    /// Starts one on a folder of its own. `None` where the tests run on somebody's server, which is not to be killed.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let own = tempfile::tempdir().expect("a folder can be made");
        let mut started = Self::start_in(own.path())?;
        started.own = Some(own);
        Some(started)
    }

    /// Starts one on a folder that is there.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_in(folder: &Path) -> Option<Self> {
        let library = std::env::var_os("APPWEIGHT_TEST_CHDB")?.into();
        let front = std::env::var_os("APPWEIGHT_TEST_CLICKHOUSE_FRONT")?.into();
        let mut started = Self {
            library,
            front,
            folder: folder.to_owned(),
            own: None,
            url: String::new(),
            child: None,
        };
        let child = started.serve("127.0.0.1:0").expect("it starts");
        child.url.clone_into(&mut started.url);
        started.child = Some(child);
        Some(started)
    }

    /// The address of a database of its own, as `--store` takes it.
    #[must_use]
    pub fn store(&self) -> String {
        store_at(&self.url)
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.child.take().expect("it runs").kill();
    }

    /// Starts it again on the same port and folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        // Somebody else's call may have taken the port for a moment.
        self.child = Some(eventually("ClickHouse starts again", || {
            self.serve(&listen)
        }));
    }

    fn serve(&self, listen: &str) -> Result<Child, String> {
        let mut command = Command::new(&self.front);
        command.arg("--library").arg(&self.library);
        command.arg("--data").arg(&self.folder);
        command.args(["--listen", listen]);
        Child::start(command)
    }
}
