//! What can be set, from where, and what is refused.

mod parse;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use appweight_wire::Origin;

use self::parse::{
    check_width, parse_bytes, parse_collector, parse_count_one_in, parse_count_target,
    parse_duration, parse_name, parse_number, parse_per_second, parse_switch, parse_timers,
    parse_token, path_or_none,
};
use crate::scopes::timer::Timer;

/// Whether `https://` can be spoken.
const TLS: bool = cfg!(feature = "tls");
/// Stacks per second of a thread, at most: with more of them the kernel begins to hold back.
pub(crate) const SAMPLES_PER_SECOND: u32 = 10_000;
/// Stands in messages where a secret is.
const HIDDEN: &str = "…";

/// Looks a variable up; the process's environment, except in tests.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) origin: Origin,
    pub(crate) collector: String,
    pub(crate) cell_width: Duration,
    pub(crate) warm_up: Duration,
    /// `None`: every one where the CPU clock is cheap, else adaptive.
    pub(crate) count_one_in: Option<OneIn>,
    pub(crate) count_target: u64,
    pub(crate) record_one_in: u64,
    /// 0: none.
    pub(crate) profile_one_in: u64,
    pub(crate) profile_timers: Vec<Timer>,
    /// Samples per second; 0: none.
    pub(crate) sample_stacks: u32,
    /// The same for the whole process, where requests cannot be sampled. `None`: where they were to be, and perf events
    /// are forbidden.
    pub(crate) sample_process: Option<u32>,
    /// Bytes from one sample to the next; 0: none.
    pub(crate) sample_allocations: u64,
    pub(crate) check_clock: bool,
    pub(crate) process_interval: Duration,
    pub(crate) user_key: Option<String>,
    pub(crate) queue_bytes: usize,
    pub(crate) token: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) spool_bytes: u64,
    /// Whose default host this is.
    process: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let process = std::process::id();
        Self {
            disabled: false,
            origin: Origin {
                service: String::new(),
                deploy: option_env!("APPWEIGHT_DEPLOY")
                    .unwrap_or("unknown")
                    .to_owned(),
                host: default_host(process),
                cluster: String::new(),
                region: String::new(),
            },
            collector: "http://127.0.0.1:7070".to_owned(),
            cell_width: Duration::from_secs(60),
            warm_up: Duration::from_secs(60),
            count_one_in: None,
            count_target: 1_000,
            record_one_in: 100,
            profile_one_in: 1_000,
            profile_timers: Timer::DEFAULT.to_vec(),
            sample_stacks: 0,
            sample_process: None,
            sample_allocations: 0,
            check_clock: false,
            process_interval: Duration::from_secs(10),
            user_key: None,
            queue_bytes: 8 << 20,
            token: None,
            ca_file: None,
            spool: None,
            spool_bytes: 64 << 20,
            process,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the user key and the token, which are secrets.
        formatter
            .debug_struct("Settings")
            .field("disabled", &self.disabled)
            .field("origin", &self.origin)
            .field("collector", &self.collector)
            .field("cell_width", &self.cell_width)
            .field("warm_up", &self.warm_up)
            .field("count_one_in", &self.count_one_in)
            .field("count_target", &self.count_target)
            .field("record_one_in", &self.record_one_in)
            .field("profile_one_in", &self.profile_one_in)
            .field("profile_timers", &self.profile_timers)
            .field("sample_stacks", &self.sample_stacks)
            .field("sample_process", &self.sample_process)
            .field("sample_allocations", &self.sample_allocations)
            .field("check_clock", &self.check_clock)
            .field("process_interval", &self.process_interval)
            .field("queue_bytes", &self.queue_bytes)
            .field("ca_file", &self.ca_file)
            .field("spool", &self.spool)
            .field("spool_bytes", &self.spool_bytes)
            .finish_non_exhaustive()
    }
}

/// One request in how many is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneIn {
    /// The same for every endpoint, whatever happens.
    Fixed(u32),
    /// As each endpoint's traffic asks for.
    Adaptive,
}

/// Why an option is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value:?}: {reason}")]
pub(crate) struct BadOption {
    pub(crate) option: String,
    pub(crate) value: String,
    pub(crate) reason: String,
}

impl Settings {
    /// Lets the environment override, and gives back the variables that it could not use. What
    /// those would have set stays as it was.
    pub(crate) fn override_from(&mut self, lookup: Lookup<'_>) -> Vec<BadOption> {
        let mut bad = Vec::new();
        let mut read = |name: &str, set: &mut dyn FnMut(&str) -> Result<(), String>| {
            if let Some(value) = lookup(name)
                && let Err(reason) = set(value.trim())
            {
                bad.push(BadOption {
                    option: name.to_owned(),
                    // A secret is not written to a log.
                    value: if name.ends_with("_KEY") || name.ends_with("_TOKEN") {
                        HIDDEN.to_owned()
                    } else {
                        value
                    },
                    reason,
                });
            }
        };
        read("APPWEIGHT_DISABLED", &mut |v| {
            put(&mut self.disabled, parse_switch(v))
        });
        read("APPWEIGHT_COLLECTOR", &mut |v| {
            put(&mut self.collector, parse_collector(v, TLS))
        });
        read("APPWEIGHT_TOKEN", &mut |v| {
            put(&mut self.token, parse_token(v).map(Some))
        });
        read("APPWEIGHT_CA_FILE", &mut |v| {
            put(&mut self.ca_file, Ok(path_or_none(v)))
        });
        read("APPWEIGHT_QUEUE_BYTES", &mut |v| {
            let bytes = parse_bytes(v)
                .and_then(|bytes| usize::try_from(bytes).map_err(|_| "too large".to_owned()));
            put(&mut self.queue_bytes, bytes)
        });
        read("APPWEIGHT_SPOOL", &mut |v| {
            put(&mut self.spool, Ok(path_or_none(v)))
        });
        read("APPWEIGHT_SPOOL_BYTES", &mut |v| {
            put(&mut self.spool_bytes, parse_bytes(v))
        });
        read("APPWEIGHT_SERVICE", &mut |v| {
            put(&mut self.origin.service, parse_name(v, true))
        });
        read("APPWEIGHT_DEPLOY", &mut |v| {
            put(&mut self.origin.deploy, parse_name(v, true))
        });
        read("APPWEIGHT_HOST", &mut |v| {
            put(&mut self.origin.host, parse_name(v, true))
        });
        read("APPWEIGHT_CLUSTER", &mut |v| {
            put(&mut self.origin.cluster, parse_name(v, false))
        });
        read("APPWEIGHT_REGION", &mut |v| {
            put(&mut self.origin.region, parse_name(v, false))
        });
        read("APPWEIGHT_CELL_WIDTH", &mut |v| {
            put(
                &mut self.cell_width,
                parse_duration(v).and_then(check_width),
            )
        });
        read("APPWEIGHT_WARM_UP", &mut |v| {
            put(&mut self.warm_up, parse_duration(v))
        });
        read("APPWEIGHT_COUNT_ONE_IN", &mut |v| {
            put(&mut self.count_one_in, parse_count_one_in(v).map(Some))
        });
        read("APPWEIGHT_COUNT_TARGET", &mut |v| {
            put(&mut self.count_target, parse_count_target(v))
        });
        read("APPWEIGHT_CHECK_CLOCK", &mut |v| {
            put(&mut self.check_clock, parse_switch(v))
        });
        read("APPWEIGHT_RECORD_ONE_IN", &mut |v| {
            put(&mut self.record_one_in, parse_number(v))
        });
        read("APPWEIGHT_PROFILE_ONE_IN", &mut |v| {
            put(&mut self.profile_one_in, parse_number(v))
        });
        read("APPWEIGHT_PROFILE_TIMERS", &mut |v| {
            let timers = parse_timers(v, &self.profile_timers);
            put(&mut self.profile_timers, timers)
        });
        read("APPWEIGHT_SAMPLE_STACKS", &mut |v| {
            put(&mut self.sample_stacks, parse_per_second(v))
        });
        read("APPWEIGHT_SAMPLE_PROCESS", &mut |v| {
            put(&mut self.sample_process, parse_per_second(v).map(Some))
        });
        read("APPWEIGHT_SAMPLE_ALLOCATIONS", &mut |v| {
            put(&mut self.sample_allocations, parse_bytes(v))
        });
        read("APPWEIGHT_USER_KEY", &mut |v| {
            let key = if v.is_empty() {
                Err("empty".to_owned())
            } else {
                Ok(Some(v.to_owned()))
            };
            put(&mut self.user_key, key)
        });
        read("APPWEIGHT_PROCESS_INTERVAL", &mut |v| {
            put(
                &mut self.process_interval,
                parse_duration(v).and_then(check_width),
            )
        });
        bad
    }

    /// What the service itself set and cannot be.
    pub(crate) fn check(&mut self) -> Result<(), BadOption> {
        let origin = &self.origin;
        for (option, value, needed) in [
            ("service", &origin.service, true),
            ("deploy", &origin.deploy, true),
            ("host", &origin.host, true),
            ("cluster", &origin.cluster, false),
            ("region", &origin.region, false),
        ] {
            parse_name(value, needed).map_err(|reason| refused(option, value, reason))?;
        }
        self.collector = parse_collector(&self.collector, TLS)
            .map_err(|reason| refused("collector", &self.collector, reason))?;
        for timer in &self.profile_timers {
            for value in [timer.name(), timer.unit()] {
                parse_name(value, true)
                    .map_err(|reason| refused("profile_timers", value, reason))?;
            }
        }
        if let Some(token) = &self.token {
            parse_token(token).map_err(|reason| refused("token", HIDDEN, reason))?;
        }
        for (option, value) in [
            ("cell_width", self.cell_width),
            ("process_interval", self.process_interval),
        ] {
            check_width(value).map_err(|reason| refused(option, &format!("{value:?}"), reason))?;
        }
        Ok(())
    }

    /// Whether the token can be read by whoever listens on the way.
    pub(crate) fn token_is_sent_openly(&self) -> bool {
        let uri: Option<http::Uri> = self.collector.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let near = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        self.token.is_some() && self.collector.starts_with("http:") && !near
    }

    /// The same for a child that was forked: two processes are two hosts, unless they are told who
    /// they are.
    pub(crate) fn in_child(&self) -> Self {
        let mut settings = self.clone();
        settings.process = std::process::id();
        if settings.origin.host == default_host(self.process) {
            settings.origin.host = default_host(settings.process);
        }
        settings
    }
}

fn refused(option: &str, value: &str, reason: String) -> BadOption {
    BadOption {
        option: option.to_owned(),
        value: value.to_owned(),
        reason,
    }
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// The machine's name and the process id: two processes on one machine are two hosts.
fn default_host(process: u32) -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = match machine.trim() {
        "" => "localhost",
        name => name,
    };
    format!("{}-{process}", crate::names::clean(machine))
}
