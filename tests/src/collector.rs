use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;

use crate::by_hand::ByHand;
use crate::child::Child;
use crate::http::{Answer, get};
use crate::program::program;
use crate::today::an_hour_ago;
use crate::wait::eventually;

/// A hundred days: long before anything else that is counted, and not yet forgotten.
const LONG_US: u64 = 100 * 86_400_000_000;
/// The deploy that others are held against to be counted.
const REFERENCE: &str = "reference";

/// `appweight serve` on a port and a store of its own.
#[derive(Debug)]
pub struct Collector {
    folder: PathBuf,
    /// The folder, if it goes away with this.
    own: Option<TempDir>,
    /// The address of its store; a file in the folder without one.
    store: Option<String>,
    child: Option<Child>,
    /// Where it listens.
    pub url: String,
}

/// What the store holds of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Requests counted.
    pub requests: u64,
    /// Requests that they stand for.
    pub weight: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Mean CPU time, ns.
    pub cpu_ns: f64,
}

impl Collector {
    /// Starts one with an empty store.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        let own = tempfile::tempdir().expect("a folder can be made");
        let mut collector = Self::start_in(own.path());
        collector.own = Some(own);
        collector
    }

    /// Starts one with its store elsewhere.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_on(store: &str) -> Self {
        let own = tempfile::tempdir().expect("a folder can be made");
        let mut collector = Self::start_in_on(own.path(), store, |_| {});
        collector.own = Some(own);
        collector
    }

    /// The same with its journal in that folder, and something changed at its start; not at later ones.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_in_on(folder: &Path, store: &str, set: impl FnOnce(&mut Command)) -> Self {
        Self::start_at(folder, Some(store.to_owned()), set)
    }

    /// Starts one on the store of a folder, which may be there already.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_in(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    /// The same with something changed at its start; not at later ones.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(folder: &Path, set: impl FnOnce(&mut Command)) -> Self {
        Self::start_at(folder, None, set)
    }

    fn start_at(folder: &Path, store: Option<String>, set: impl FnOnce(&mut Command)) -> Self {
        let mut collector = Self {
            folder: folder.to_owned(),
            own: None,
            store,
            child: None,
            url: String::new(),
        };
        let child = collector.serve("127.0.0.1:0", set).expect("it starts");
        collector.url = child.url.clone();
        collector.child = Some(child);
        collector
    }

    /// Its process's id.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// All that it has written since it was started.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn said(&self) -> String {
        self.child.as_ref().expect("it runs").said()
    }

    /// The store's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("appweight.db")
    }

    /// The address of its store, if it is not the file.
    pub(crate) fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    fn serve(&self, listen: &str, set: impl FnOnce(&mut Command)) -> Result<Child, String> {
        let mut command = program("appweight");
        set(&mut command);
        command.args(["serve", "--listen", listen]);
        match &self.store {
            None => command.arg("--database").arg(self.database()),
            Some(address) => {
                let journal = self.folder.join("journal");
                (command.args(["--store", address]).arg("--journal")).arg(journal)
            }
        };
        Child::start(command)
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.child.take().expect("it runs").kill();
    }

    /// Asks it to end, as an init system does, and waits until it has.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop(&mut self) -> ExitStatus {
        self.child.take().expect("it runs").stop()
    }

    /// Starts it again on the same port and store.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        // Somebody else's call may have taken the port for a moment.
        self.child = Some(eventually("the collector starts again", || {
            self.serve(&listen, |_| {})
        }));
    }

    /// GETs a page or an answer of the API.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.url)).expect("the collector answers")
    }

    /// What the store's cells hold of a deploy, by endpoint.
    ///
    /// The API has no cells, but a comparison counts them: with a deploy that served at another
    /// time all cells of both are taken.
    ///
    /// # Errors
    /// If the collector says that there are none.
    ///
    /// # Panics
    /// If it does not answer as it should.
    pub fn counted(
        &self,
        service: &str,
        deploy: &str,
    ) -> Result<BTreeMap<String, Counted>, String> {
        let mut other = ByHand::new(&self.url, service, REFERENCE, "reference").again(service);
        let long_ago_us = an_hour_ago() - LONG_US;
        let batch = other.batch(&[ByHand::request(long_ago_us, "/reference", 1)]);
        let sent = other.send(&batch)?;
        assert!(matches!(sent.status, 200 | 201), "{sent:?}");
        let answer = self.get(&format!(
            "/v1/compare?service={service}&base={REFERENCE}&head={deploy}&metric=cpu"
        ));
        if answer.status != 200 {
            return Err(answer.text);
        }
        let comparison = answer.json();
        assert_eq!(comparison["control"], "before_after", "{comparison}");
        let endpoints = comparison["endpoints"].as_array().expect("a list");
        Ok(endpoints
            .iter()
            .map(|endpoint| {
                (
                    endpoint["endpoint"].as_str().expect("a name").to_owned(),
                    Counted::of(&endpoint["after"]),
                )
            })
            .filter(|(_, counted)| counted.requests > 0)
            .collect())
    }

    /// Waits until the cells of a deploy hold exactly these numbers of requests.
    ///
    /// # Panics
    /// If they do not become so, or become more.
    pub fn expect_requests(&self, service: &str, deploy: &str, expected: &[(&str, u64)]) {
        let expected: BTreeMap<String, u64> = expected
            .iter()
            .map(|(endpoint, requests)| ((*endpoint).to_owned(), *requests))
            .collect();
        eventually("every request is counted once", || {
            let counted: BTreeMap<String, u64> = self
                .counted(service, deploy)?
                .into_iter()
                .map(|(endpoint, counted)| (endpoint, counted.requests))
                .collect();
            if counted == expected {
                Ok(())
            } else {
                Err(format!("{counted:?} instead of {expected:?}"))
            }
        });
    }

    /// One of its own numbers, 0 as long as nothing happened.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").text;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or(0)
    }
}

impl Counted {
    fn of(arm: &Value) -> Self {
        let number = |name: &str| arm[name].as_u64().expect("a whole number");
        Self {
            requests: number("requests"),
            weight: number("weight"),
            errors: number("errors"),
            cpu_ns: arm["mean"].as_f64().expect("a number"),
        }
    }
}
