use std::borrow::Cow;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::cpu_clock;
use crate::core::Core;
use crate::counters::Counters;
use crate::hooks::{Hooks, UserHash};
use crate::settings::{Lookup, OneIn, SAMPLES_PER_SECOND, Settings};
use crate::{Agent, RequestHead, Timer};

/// Sets up an [`Agent`]; made by [`Agent::builder`].
///
/// Each option can be overridden by an environment variable, named at the option: whoever operates
/// a service decides in the end. A variable with a value that makes no sense is logged and ignored.
#[derive(Debug, Default)]
#[must_use = "an agent works once it is started"]
pub struct AgentBuilder {
    settings: Settings,
    hooks: Hooks,
}

impl AgentBuilder {
    /// The service's name, the same for all its processes. Needed. `APPWEIGHT_SERVICE`
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.settings.origin.service = name.into();
        self
    }

    /// What is deployed: usually the commit. By default what `APPWEIGHT_DEPLOY` was when the program was built, else
    /// `unknown`. `APPWEIGHT_DEPLOY`
    pub fn deploy(mut self, id: impl Into<String>) -> Self {
        self.settings.origin.deploy = id.into();
        self
    }

    /// The instance; the machine's name and the process id by default. `APPWEIGHT_HOST`
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.settings.origin.host = name.into();
        self
    }

    /// A part of the fleet, if there is more than one. `APPWEIGHT_CLUSTER`
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.settings.origin.cluster = name.into();
        self
    }

    /// The region, if there is more than one. `APPWEIGHT_REGION`
    pub fn region(mut self, name: impl Into<String>) -> Self {
        self.settings.origin.region = name.into();
        self
    }

    /// Where to send: `http://127.0.0.1:7070` by default. Proxies in the environment are not used.
    /// `https://` needs the crate's feature `tls`. `APPWEIGHT_COLLECTOR`
    pub fn collector(mut self, address: impl Into<String>) -> Self {
        self.settings.collector = address.into();
        self
    }

    /// What the collector is to know this service by: sent as `Authorization: Bearer …`, never logged.
    /// `APPWEIGHT_TOKEN`
    pub fn token(mut self, secret: &str) -> Self {
        self.settings.token = Some(secret.to_owned());
        self
    }

    /// A file of certificates (PEM) that may vouch for the collector's, instead of the system's.
    /// `APPWEIGHT_CA_FILE`
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.ca_file = Some(path.into());
        self
    }

    /// How much time a cell covers: a minute by default. `APPWEIGHT_CELL_WIDTH` (`1s`, `500ms`, …)
    pub fn cell_width(mut self, width: Duration) -> Self {
        self.settings.cell_width = width;
        self
    }

    /// How long a process counts as warming up: a minute by default. `APPWEIGHT_WARM_UP`
    pub fn warm_up(mut self, time: Duration) -> Self {
        self.settings.warm_up = time;
        self
    }

    /// One request in so many is counted, chosen at random, and stands for that many. By default 1
    /// where reading the thread's CPU time costs some nanoseconds, and adaptive where it costs a
    /// system call. What requests cost is then estimated; their number, their errors and the active
    /// users are exact. `APPWEIGHT_COUNT_ONE_IN` (a number or `adaptive`)
    pub fn count_one_in(mut self, requests: u32) -> Self {
        self.settings.count_one_in = Some(OneIn::Fixed(requests.max(1)));
        self
    }

    /// Of each endpoint one request in so many is counted that a cell has about `target`: all of a
    /// rare endpoint, one in up to 1,024 of a busy one, by what it saw in the span before. The
    /// default, with a target of 1,000, where reading the thread's CPU time costs a system call.
    /// `APPWEIGHT_COUNT_TARGET`
    pub fn count_adaptively(mut self, target: u64) -> Self {
        self.settings.count_one_in = Some(OneIn::Adaptive);
        self.settings.count_target = target.max(1);
        self
    }

    /// Of the requests that are counted, one in so many is recorded with all its facts: 100 by default, 1
    /// for all, 0 for none. Beside them the costliest of each endpoint and cell is recorded, which stands
    /// for no other; with 0 it is not. `APPWEIGHT_RECORD_ONE_IN`
    pub fn record_one_in(mut self, requests: u64) -> Self {
        self.settings.record_one_in = requests;
        self
    }

    /// Of the requests that are counted, one in so many is profiled: where its scopes ([`profiled`](crate::profiled),
    /// [`scope!`](crate::scope)) begin and end the timers are read, and what they moved is told by function. 1,000 by default,
    /// 1 for all, 0 for none. A profiled request costs what the readings cost, and is counted with that.
    /// `APPWEIGHT_PROFILE_ONE_IN`
    pub fn profile_one_in(mut self, requests: u64) -> Self {
        self.settings.profile_one_in = requests;
        self
    }

    /// What profiles count, at most 8: by default instructions, CPU time and allocated bytes, each where it is there. At the start
    /// it is logged which are. `APPWEIGHT_PROFILE_TIMERS` (names, separated by commas: see [`Timer`])
    pub fn profile_timers(mut self, timers: impl IntoIterator<Item = Timer>) -> Self {
        self.settings.profile_timers = timers.into_iter().collect();
        self
    }

    /// Of a request that is profiled, so many stacks are taken per second that it is on a CPU, without touching its code: none
    /// by default, 1,000 is enough. It needs perf events, a program that was built with frame pointers
    /// (`-C force-frame-pointers=yes`), and for each thread that polls requests a descriptor and 132 KiB of memory that may be
    /// locked. Whether that is there is found out at the start, and told by [`AgentStatus`](crate::AgentStatus).
    /// `APPWEIGHT_SAMPLE_STACKS`
    pub fn sample_stacks(mut self, per_second: u32) -> Self {
        self.settings.sample_stacks = per_second.min(SAMPLES_PER_SECOND);
        self
    }

    /// Where the stacks of requests cannot be sampled, those of the whole process are, so many per second of CPU: they belong to no
    /// request, and are told under no endpoint. By default 99 where the stacks of requests were asked for and perf events are
    /// forbidden, else none; with a number wherever those of requests cannot be had, also if they were not asked for; with 0 never. It is
    /// done by a signal (`SIGPROF`), which calls that wait for something may be interrupted by, and the kernel gives one per tick at
    /// most. It needs frame pointers too, and stays out of the way of a program that handles the signal itself.
    /// `APPWEIGHT_SAMPLE_PROCESS`
    pub fn sample_process(mut self, per_second: u32) -> Self {
        self.settings.sample_process = Some(per_second.min(SAMPLES_PER_SECOND));
        self
    }

    /// Each so many bytes that the process allocates, the allocation is looked at: what was allocated in which function of which
    /// endpoint, and what of it was not given back. None by default; 512 KiB costs nearly nothing. It needs
    /// [`AppweightAlloc`](crate::AppweightAlloc) and a program that was built with frame pointers
    /// (`-C force-frame-pointers=yes`), and is of all requests, profiled or not. The first agent of a process decides.
    /// `APPWEIGHT_SAMPLE_ALLOCATIONS` (`512KiB`, …; `0`: none)
    pub fn sample_allocations(mut self, bytes: u64) -> Self {
        self.settings.sample_allocations = bytes;
        self
    }

    /// How much time a process record covers: 10 s by default, a cell's width at most.
    /// `APPWEIGHT_PROCESS_INTERVAL`
    pub fn process_interval(mut self, interval: Duration) -> Self {
        self.settings.process_interval = interval;
        self
    }

    /// Says who a request is from, so that active users can be counted. The identity is hashed
    /// at once and never leaves the process. Their number is told with a standard error of 1.6 %
    /// (up to some hundreds of users it is nearly exact), since a sketch of fixed size is kept of them.
    ///
    /// ```
    /// # use appweight_agent::Agent;
    /// let builder = Agent::builder()
    ///     .service("photos")
    ///     .user_key("a secret of this service")
    ///     .user(|head| Some(head.headers.get("x-user-id")?.to_str().ok()?.into()));
    /// ```
    pub fn user<F>(mut self, who: F) -> Self
    where
        F: for<'a> Fn(RequestHead<'a>) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    {
        self.hooks.user = Some(Box::new(who));
        self
    }

    /// The secret that users are hashed with, the same in all processes of a service. Without it one is derived from
    /// the token, if there is one: then whoever knows the token can try out which identities were active, and
    /// another token counts the same users once more for a while. `APPWEIGHT_USER_KEY`
    pub fn user_key(mut self, secret: &str) -> Self {
        self.settings.user_key = Some(secret.to_owned());
        self
    }

    /// Says which endpoint a request is for, where the route that axum matched is not what is
    /// wanted or not there: a template, never the raw path. `None` leaves it to axum.
    pub fn endpoint<F>(mut self, name: F) -> Self
    where
        F: Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    {
        self.hooks.endpoint = Some(Box::new(name));
        self
    }

    /// How many bytes of batches may wait in memory before the oldest are given up: 8 MiB by
    /// default. `APPWEIGHT_QUEUE_BYTES` (`512KiB`, `8MiB`, …)
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.queue_bytes = bytes;
        self
    }

    /// A folder for batches that cannot be sent, so that they survive the end of the process, also by
    /// a crash: none by default. It is made if it is not there. Processes that send to the same
    /// collector may share it; one that starts sends what dead ones left. `APPWEIGHT_SPOOL` (empty:
    /// none)
    pub fn spool(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.spool = Some(folder.into());
        self
    }

    /// How many bytes of the disk the batches in the spool may take before the oldest are given up:
    /// 64 MiB by default, for each process. `APPWEIGHT_SPOOL_BYTES` (`64MiB`, …)
    pub fn spool_bytes(mut self, bytes: u64) -> Self {
        self.settings.spool_bytes = bytes;
        self
    }

    /// Starts the agent. Never fails: an agent that cannot work says so in the log, once, and lets
    /// all requests pass. `APPWEIGHT_DISABLED=1` starts one that does nothing at all.
    #[must_use = "the agent ends when its last handle is dropped"]
    pub fn start(self) -> Agent {
        // A variable that is not Unicode has a value that makes no sense, not none.
        self.start_in(&|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Starts the agent with these settings alone, for a program whose environment says something about other
    /// services: `APPWEIGHT_COLLECTOR` in the environment of a collector is not where it shall send to.
    #[must_use = "the agent ends when its last handle is dropped"]
    pub fn start_without_environment(self) -> Agent {
        self.start_in(&|_| None)
    }

    pub(crate) fn start_in(mut self, lookup: Lookup<'_>) -> Agent {
        for bad in self.settings.override_from(lookup) {
            tracing::warn!("AppWeight: {bad}; the variable is ignored");
        }
        if self.settings.disabled {
            tracing::info!("AppWeight: disabled by APPWEIGHT_DISABLED");
            return Agent::disabled();
        }
        if let Err(bad) = self.settings.check() {
            tracing::error!("AppWeight: {bad}; nothing is measured");
            return Agent::disabled();
        }
        let token = self.settings.token.as_deref();
        // All processes of a service have the same token, so that theirs unite.
        let derived = token.map(|token| format!("AppWeight's user key of {token}"));
        let key = self.settings.user_key.take().or(derived);
        if self.hooks.user.is_some() && key.is_none() {
            tracing::warn!(
                "AppWeight: users are hashed without a secret; set APPWEIGHT_USER_KEY, user_key or a token"
            );
        }
        self.hooks.user_hash = UserHash::new(&key.unwrap_or_default());
        if self.settings.token_is_sent_openly() {
            tracing::warn!("AppWeight: the token goes over an open connection; use https://");
        }
        let counters = Counters::probe();
        if self.settings.check_clock {
            cpu_clock().look_closely();
        }
        let core = Core::new(self.settings, Arc::new(self.hooks), counters);
        let (settings, counters) = (core.settings(), core.counters().describe());
        let profiles = match settings.profile_one_in {
            0 => "profiles nothing".to_owned(),
            one_in => format!("profiles 1 in {one_in} by {}", core.timers().describe()),
        };
        tracing::info!(
            service = settings.origin.service,
            deploy = settings.origin.deploy,
            host = settings.origin.host,
            collector = settings.collector,
            "AppWeight: counts {counters}; {profiles}",
        );
        Agent::run(core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(variables: &[(&str, &str)]) -> Agent {
        Agent::builder().service("tested").start_in(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn disabled_by_the_environment() {
        let agent = start(&[("APPWEIGHT_DISABLED", "1"), ("APPWEIGHT_CELL_WIDTH", "1s")]);
        assert_eq!(agent.status(), crate::AgentStatus::default());
        assert_eq!(agent.measure("task:x", || 7), 7);
        assert!(agent.core().is_none());
    }

    #[test]
    fn users_are_hashed_by_a_key_of_the_service_given_or_derived_from_its_token() {
        let hash = |builder: AgentBuilder, variables: &[(&str, &str)]| {
            let builder = builder.service("tested").collector("http://127.0.0.1:1");
            let agent = builder.user(|_| Some("user-1".into())).start_in(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            });
            let request = http::Request::new(());
            let head = RequestHead::of(&request);
            let hash = agent.core().unwrap().hooks().user(head).unwrap();
            agent.shutdown(Duration::ZERO);
            hash
        };
        let token = |token| hash(Agent::builder().token(token), &[]);
        let none = hash(Agent::builder(), &[]);
        let derived = token("aw_1");
        assert_eq!(derived, token("aw_1"), "so that processes unite");
        assert_eq!(
            derived,
            hash(Agent::builder(), &[("APPWEIGHT_TOKEN", "aw_1")])
        );
        assert!(derived != none && derived != token("aw_2"));
        let given = hash(Agent::builder().user_key("secret").token("aw_1"), &[]);
        assert_eq!(given, hash(Agent::builder().user_key("secret"), &[]));
        assert_eq!(
            given,
            hash(Agent::builder(), &[("APPWEIGHT_USER_KEY", "secret")])
        );
        assert!(given != derived && given != none);
    }

    #[test]
    fn the_environment_overrides_and_a_bad_variable_does_not() {
        let agent = start(&[
            ("APPWEIGHT_SERVICE", "overridden"),
            ("APPWEIGHT_CELL_WIDTH", "2s"),
            ("APPWEIGHT_WARM_UP", "a while"),
            ("APPWEIGHT_DISABLED", "perhaps"),
            ("APPWEIGHT_COLLECTOR", "http://127.0.0.1:1"),
        ]);
        let core = agent.core().unwrap();
        assert_eq!(core.settings().origin.service, "overridden");
        assert_eq!(core.spans().cell_us, 2_000_000);
        assert_eq!(
            core.spans().process_us,
            2_000_000,
            "a process record covers a cell at most"
        );
        assert_eq!(core.settings().warm_up, Duration::from_secs(60));
        agent.shutdown(Duration::ZERO);
    }
}
