#![expect(
    unsafe_code,
    reason = "a child that dies with its parent, and a signal other than SIGKILL, are system calls that std does not offer"
)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::wait::PATIENCE;

/// A program that serves HTTP, as a child process. It is killed when this is dropped, and when the
/// thread that started it ends.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Where it listens, as `http://127.0.0.1:40000`.
    pub url: String,
    said: Arc<Mutex<String>>,
}

impl Child {
    /// Starts it and waits until it listens; `Err` has what it said if it ends instead.
    ///
    /// # Errors
    /// If the program ends before it listens.
    ///
    /// # Panics
    /// If it cannot be started, or does not listen after two minutes.
    pub fn start(mut command: Command) -> Result<Self, String> {
        // SAFETY: prctl is async-signal-safe and touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let said = Arc::new(Mutex::new(String::new()));
        let (address, found) = channel();
        let stdout = process.stdout.take().expect("it is piped");
        let stderr = process.stderr.take().expect("it is piped");
        listen_to(stdout, Arc::clone(&said), address.clone());
        listen_to(stderr, Arc::clone(&said), address);
        let started = found.recv_timeout(PATIENCE);
        let mut child = Self {
            process,
            url: String::new(),
            said,
        };
        match started {
            Ok(url) => {
                child.url = url;
                Ok(child)
            }
            Err(_) => Err(child.said()),
        }
    }

    /// Its process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// All that it has written so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it as a crash does: `kill -9`.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn kill(mut self) {
        self.process.kill().expect("it still runs");
        self.process.wait().expect("it is our child");
    }

    /// Asks it to end, as an init system does, and waits until it has.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn stop(mut self) -> ExitStatus {
        let id = i32::try_from(self.process.id()).expect("process ids are small");
        // SAFETY: kill takes plain integers; the child has not been waited for, so the id is its own.
        unsafe {
            libc::kill(id, libc::SIGTERM);
        }
        self.process.wait().expect("it is our child")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listen_to(from: impl Read + Send + 'static, said: Arc<Mutex<String>>, address: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some((_, url)) = line.split_once("listening on ") {
                // Nobody waits for a second one.
                let _ = address.send(url.trim().to_owned());
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
}
