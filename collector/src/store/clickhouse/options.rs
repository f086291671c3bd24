use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// Where ClickHouse is, and what belongs to it.
///
/// ```
/// use appweight_collector::ClickhouseOptions;
///
/// let at: ClickhouseOptions = "clickhouse://collector:secret@db.example:8123/appweight".parse()?;
/// assert_eq!((at.url.as_str(), at.database.as_str()), ("http://db.example:8123", "appweight"));
/// # Ok::<(), appweight_collector::ClickhouseOptionsError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClickhouseOptions {
    /// Its HTTP interface, as `http://127.0.0.1:8123`, or `https://…` with the feature `tls`.
    pub url: String,
    /// The database; made if it is not there.
    pub database: String,
    /// Who asks.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The folder, on this machine, of what is being written; made if it is not there. Each collector has its own,
    /// and keeps it.
    pub journal: PathBuf,
    /// The cluster on which tables are made, replicated. Experimental: it has not been run on a cluster.
    pub cluster: Option<String>,
}

impl Default for ClickhouseOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            database: "appweight".into(),
            user: "default".into(),
            password: String::new(),
            journal: "appweight-journal".into(),
            cluster: None,
        }
    }
}

impl std::fmt::Debug for ClickhouseOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the password.
        (formatter.debug_struct("ClickhouseOptions"))
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("journal", &self.journal)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// Not the address of a ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address as clickhouse://USER:PASSWORD@HOST:PORT/DATABASE, or clickhouses:// for TLS, all but the host optional: {0}"
)]
pub struct ClickhouseOptionsError(String);

impl FromStr for ClickhouseOptions {
    type Err = ClickhouseOptionsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |why: &str| ClickhouseOptionsError(why.to_owned());
        let address = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
        let (scheme, port) = match address.scheme() {
            "clickhouse" => ("http", 8_123),
            "clickhouses" if cfg!(feature = "tls") => ("https", 8_443),
            "clickhouses" => return Err(refused("this program was built without TLS")),
            _ => return Err(refused("it begins otherwise")),
        };
        let host = (address.host_str().filter(|host| !host.is_empty()))
            .ok_or_else(|| refused("it names no host"))?;
        if address.query().is_some() || address.fragment().is_some() {
            return Err(refused("nothing may stand behind the database"));
        }
        let decoded = |part: &str| {
            let text = percent_decode_str(part).decode_utf8();
            text.map(|text| text.into_owned())
                .map_err(|_| refused("it is not UTF-8"))
        };
        let mut options = Self {
            url: format!("{scheme}://{host}:{}", address.port().unwrap_or(port)),
            ..Self::default()
        };
        if !address.username().is_empty() {
            options.user = decoded(address.username())?;
        }
        if let Some(password) = address.password() {
            options.password = decoded(password)?;
        }
        match address.path().trim_start_matches('/') {
            "" => {}
            path if path.contains('/') => return Err(refused("a database has no / in its name")),
            path => options.database = decoded(path)?,
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_host_and_no_more() {
        let at: ClickhouseOptions = "clickhouse://db".parse().unwrap();
        let expected = ClickhouseOptions {
            url: "http://db:8123".into(),
            ..ClickhouseOptions::default()
        };
        assert_eq!(at, expected);
        let at: ClickhouseOptions = "clickhouse://a:p%40ss@[::1]:9/b%20c".parse().unwrap();
        assert_eq!(
            (at.url.as_str(), at.database.as_str()),
            ("http://[::1]:9", "b c")
        );
        assert_eq!((at.user.as_str(), at.password.as_str()), ("a", "p@ss"));
        assert!(!format!("{at:?}").contains("p@ss"));
        let over_tls = "clickhouses://db".parse::<ClickhouseOptions>();
        if cfg!(feature = "tls") {
            assert_eq!(over_tls.unwrap().url, "https://db:8443");
        } else {
            assert!(over_tls.unwrap_err().to_string().contains("without TLS"));
        }
        for broken in [
            "http://db",
            "clickhouse:",
            "clickhouse://",
            "clickhouse://a/b/c",
            "clickhouse://a/b?c=d",
        ] {
            assert!(broken.parse::<ClickhouseOptions>().is_err(), "{broken}");
        }
    }
}
