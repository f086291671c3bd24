use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `perf record` of the calling thread, by the same event at the same pace, with its stacks by frame pointers.
pub struct Recorder {
    perf: Child,
    control: File,
    answers: BufReader<File>,
    folder: PathBuf,
}

impl Recorder {
    /// Starts it, paused; `None` where there is no `perf`.
    pub fn start(period_ns: u64) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("stacks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let [control, answers] = ["control", "answers"].map(|name| fifo(&folder.join(name)));
        // SAFETY: it takes nothing and returns a number.
        let thread = unsafe { libc::gettid() };
        let perf = Command::new("perf")
            .args(["record", "-e", "task-clock:u", "-c", &period_ns.to_string()])
            .args(["--call-graph", "fp", "--delay", "-1", "-o", "/dev/null"])
            .args(["--tid", &thread.to_string()])
            .arg(format!(
                "--control=fifo:{},{}",
                control.display(),
                answers.display()
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let perf = match perf {
            Ok(perf) => perf,
            Err(_) => {
                let _ = std::fs::remove_dir_all(&folder);
                return None;
            }
        };
        // For reading and writing, so that neither waits for the other to be there.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let mut recorder = Self {
            perf,
            control: open(&control).expect("a pipe"),
            answers: BufReader::new(open(&answers).expect("a pipe")),
            folder,
        };
        recorder.tell("ping");
        Some(recorder)
    }

    /// Records while that runs.
    pub fn while_it_runs<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.tell("enable");
        let result = work();
        self.tell("disable");
        result
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.control, "{what}").expect("perf listens");
        let mut waiting = libc::pollfd {
            fd: self.answers.get_ref().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, which is open, for as long as the call lasts.
        let ready = unsafe { libc::poll(&raw mut waiting, 1, 5_000) };
        assert_eq!(ready, 1, "perf record does not answer: try it by hand");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("perf answers");
        assert!(answer.contains("ack"), "{answer}");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = writeln!(self.control, "stop");
        let _ = self.perf.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn fifo(path: &Path) -> PathBuf {
    let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zero in it");
    // SAFETY: the path ends with a zero and outlives the call.
    let made = unsafe { libc::mkfifo(text.as_ptr(), 0o600) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    path.to_owned()
}
