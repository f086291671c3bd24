//! What can be set, from where, and what is refused.

use std::fs;
use std::time::Duration;

use appweight_wire::{Origin, limits};

/// Looks a variable up; the process's environment, except in tests.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) origin: Origin,
    pub(crate) collector: String,
    pub(crate) cell_width: Duration,
    pub(crate) warm_up: Duration,
    /// `None`: every one where the CPU clock is cheap.
    pub(crate) count_one_in: Option<u64>,
    pub(crate) record_one_in: u64,
    pub(crate) check_clock: bool,
    pub(crate) process_interval: Duration,
    pub(crate) user_key: Option<String>,
    pub(crate) queue_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disabled: false,
            origin: Origin {
                service: String::new(),
                deploy: "unknown".to_owned(),
                host: default_host(),
                cluster: String::new(),
                region: String::new(),
            },
            collector: "http://127.0.0.1:7070".to_owned(),
            cell_width: Duration::from_secs(60),
            warm_up: Duration::from_secs(60),
            count_one_in: None,
            record_one_in: 100,
            check_clock: false,
            process_interval: Duration::from_secs(10),
            user_key: None,
            queue_bytes: 8 << 20,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the user key, which is a secret.
        formatter
            .debug_struct("Settings")
            .field("disabled", &self.disabled)
            .field("origin", &self.origin)
            .field("collector", &self.collector)
            .field("cell_width", &self.cell_width)
            .field("warm_up", &self.warm_up)
            .field("count_one_in", &self.count_one_in)
            .field("record_one_in", &self.record_one_in)
            .field("check_clock", &self.check_clock)
            .field("process_interval", &self.process_interval)
            .field("queue_bytes", &self.queue_bytes)
            .finish_non_exhaustive()
    }
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
                    // A key is not written to a log.
                    value: if name.ends_with("_KEY") {
                        "…".to_owned()
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
            put(&mut self.collector, parse_collector(v))
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
            put(&mut self.count_one_in, parse_count_one_in(v))
        });
        read("APPWEIGHT_CHECK_CLOCK", &mut |v| {
            put(&mut self.check_clock, parse_switch(v))
        });
        read("APPWEIGHT_RECORD_ONE_IN", &mut |v| {
            let number = v
                .parse()
                .map_err(|_| "not a whole number, 0 or more".to_owned());
            put(&mut self.record_one_in, number)
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
        self.collector = parse_collector(&self.collector)
            .map_err(|reason| refused("collector", &self.collector, reason))?;
        for (option, value) in [
            ("cell_width", self.cell_width),
            ("process_interval", self.process_interval),
        ] {
            check_width(value).map_err(|reason| refused(option, &format!("{value:?}"), reason))?;
        }
        Ok(())
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
fn default_host() -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = match machine.trim() {
        "" => "localhost",
        name => name,
    };
    format!("{}-{}", crate::names::clean(machine), std::process::id())
}

fn parse_count_one_in(value: &str) -> Result<Option<u64>, String> {
    match value.parse() {
        Ok(number @ 1..=1_000_000) => Ok(Some(number)),
        _ => Err("not a whole number from 1 to 1000000".to_owned()),
    }
}

fn parse_switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("neither 1 nor 0".to_owned()),
    }
}

fn parse_name(value: &str, needed: bool) -> Result<String, String> {
    if needed && value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.len() > limits::NAME_BYTES {
        return Err(format!("longer than {} bytes", limits::NAME_BYTES));
    }
    if value.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(value.to_owned())
}

fn parse_collector(value: &str) -> Result<String, String> {
    if value.starts_with("https://") {
        return Err("TLS is not supported yet: use http://".to_owned());
    }
    let uri: http::Uri = value
        .parse()
        .map_err(|error| format!("not an address: {error}"))?;
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
    if !plain || uri.query().is_some() {
        return Err("not an address such as http://127.0.0.1:7070".to_owned());
    }
    Ok(value.trim_end_matches('/').to_owned())
}

/// `60s`, `1m`, `500ms`; a number alone is refused, since its unit could only be guessed.
fn parse_duration(value: &str) -> Result<Duration, String> {
    let wrong = || "not a duration such as 500ms, 10s, 1m or 1h".to_owned();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let millis = match &value[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

fn check_width(width: Duration) -> Result<Duration, String> {
    let longest = Duration::from_micros(limits::CELL_WIDTH_US);
    if (Duration::from_millis(10)..=longest).contains(&width) {
        Ok(width)
    } else {
        Err("not between 10 ms and a day".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> (Settings, Vec<BadOption>) {
        let mut settings = Settings::default();
        let bad = settings.override_from(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        (settings, bad)
    }

    #[test]
    fn every_variable_overrides() {
        let (settings, bad) = with(&[
            ("APPWEIGHT_DISABLED", "0"),
            ("APPWEIGHT_COLLECTOR", "http://collector:9000/"),
            ("APPWEIGHT_SERVICE", "photos"),
            ("APPWEIGHT_DEPLOY", "8f2c1a9"),
            ("APPWEIGHT_HOST", "web-1"),
            ("APPWEIGHT_CLUSTER", "c"),
            ("APPWEIGHT_REGION", "r"),
            ("APPWEIGHT_CELL_WIDTH", "1s"),
            ("APPWEIGHT_WARM_UP", "1500ms"),
            ("APPWEIGHT_COUNT_ONE_IN", "3"),
            ("APPWEIGHT_CHECK_CLOCK", "1"),
            ("APPWEIGHT_RECORD_ONE_IN", "7"),
            ("APPWEIGHT_USER_KEY", "secret"),
            ("APPWEIGHT_PROCESS_INTERVAL", "2 s"),
        ]);
        assert_eq!(bad, []);
        assert!(!settings.disabled);
        assert_eq!(settings.collector, "http://collector:9000");
        let origin = &settings.origin;
        assert_eq!(
            [
                &origin.service,
                &origin.deploy,
                &origin.host,
                &origin.cluster,
                &origin.region
            ],
            ["photos", "8f2c1a9", "web-1", "c", "r"]
        );
        assert_eq!(settings.cell_width, Duration::from_secs(1));
        assert_eq!(settings.warm_up, Duration::from_millis(1500));
        assert_eq!(settings.record_one_in, 7);
        assert_eq!(settings.count_one_in, Some(3));
        assert!(settings.check_clock);
        assert_eq!(settings.user_key.as_deref(), Some("secret"));
        assert_eq!(settings.process_interval, Duration::from_secs(2));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_bad_value_is_named_and_the_default_stays() {
        let long = "x".repeat(201);
        for (name, value) in [
            ("APPWEIGHT_DISABLED", "maybe"),
            ("APPWEIGHT_COLLECTOR", "127.0.0.1:7070"),
            ("APPWEIGHT_COLLECTOR", "https://collector"),
            ("APPWEIGHT_COLLECTOR", "ftp://collector"),
            ("APPWEIGHT_SERVICE", &long),
            ("APPWEIGHT_DEPLOY", ""),
            ("APPWEIGHT_HOST", "a\tb"),
            ("APPWEIGHT_CELL_WIDTH", "60"),
            ("APPWEIGHT_CELL_WIDTH", "0s"),
            ("APPWEIGHT_CELL_WIDTH", "25h"),
            ("APPWEIGHT_CELL_WIDTH", "-1s"),
            ("APPWEIGHT_WARM_UP", "99999999999999999999h"),
            ("APPWEIGHT_RECORD_ONE_IN", "1%"),
            ("APPWEIGHT_COUNT_ONE_IN", "0"),
            ("APPWEIGHT_CHECK_CLOCK", "closely"),
            ("APPWEIGHT_USER_KEY", ""),
            ("APPWEIGHT_PROCESS_INTERVAL", "soon"),
        ] {
            let (settings, bad) = with(&[(name, value)]);
            assert_eq!(bad.len(), 1, "{name}={value}");
            assert!(bad[0].to_string().starts_with(name), "{}", bad[0]);
            assert_eq!(
                format!("{settings:?}"),
                format!("{:?}", Settings::default())
            );
        }
    }

    #[test]
    fn what_the_service_set_is_checked() {
        let mut settings = Settings::default();
        assert_eq!(
            settings.check().map_err(|bad| bad.option),
            Err("service".to_owned())
        );
        settings.origin.service = "photos".to_owned();
        assert_eq!(settings.check(), Ok(()));
        settings.cell_width = Duration::ZERO;
        assert_eq!(
            settings.check().map_err(|bad| bad.option),
            Err("cell_width".to_owned())
        );
    }
}
