use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::bail;
#[cfg(feature = "clickhouse")]
use appweight_collector::ClickhouseOptions;
use appweight_collector::StoreAt;

/// Where a collector keeps everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    /// An SQLite file; made if it is not there.
    Sqlite(PathBuf),
    /// A database in ClickHouse.
    #[cfg(feature = "clickhouse")]
    Clickhouse(ClickhouseOptions),
}

#[cfg(feature = "clickhouse")]
impl StoreAddress {
    /// With what is said of ClickHouse by options of its own.
    pub(crate) fn with(mut self, journal: &Path, cluster: Option<&str>) -> Self {
        if let Self::Clickhouse(options) = &mut self {
            options.journal = journal.to_owned();
            options.cluster = cluster.map(str::to_owned);
        }
        self
    }
}

impl StoreAddress {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(file) => Some(file),
            #[cfg(feature = "clickhouse")]
            Self::Clickhouse(_) => None,
        }
    }

    /// Where it is.
    #[cfg(feature = "clickhouse")]
    pub(crate) fn at(&self, cluster: Option<&str>) -> StoreAt {
        match self {
            Self::Sqlite(file) => StoreAt::Sqlite(file.clone()),
            Self::Clickhouse(options) => StoreAt::Clickhouse(ClickhouseOptions {
                cluster: cluster.map(str::to_owned),
                ..options.clone()
            }),
        }
    }

    /// Where it is.
    #[cfg(not(feature = "clickhouse"))]
    pub(crate) fn at(&self) -> StoreAt {
        let Self::Sqlite(file) = self;
        StoreAt::Sqlite(file.clone())
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(formatter),
            #[cfg(feature = "clickhouse")]
            Self::Clickhouse(options) => {
                write!(formatter, "{}/{}", options.url, options.database)
            }
        }
    }
}

impl FromStr for StoreAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("sqlite", "")) => bail!("names no file: sqlite:FILE"),
            Some(("sqlite", file)) => Ok(Self::Sqlite(file.into())),
            #[cfg(feature = "clickhouse")]
            Some(("clickhouse" | "clickhouses", _)) => Ok(Self::Clickhouse(text.parse()?)),
            #[cfg(not(feature = "clickhouse"))]
            Some(("clickhouse" | "clickhouses", _)) => {
                bail!("this program was built without ClickHouse: cargo's feature `clickhouse`")
            }
            _ => bail!("begins neither with sqlite: nor with clickhouse://"),
        }
    }
}

/// A store that only SQLite can be.
#[derive(Debug, clap::Args)]
pub(crate) struct SqliteFile {
    /// The SQLite file
    #[arg(
        long,
        env = "APPWEIGHT_DATABASE",
        default_value = "appweight.db",
        value_name = "FILE"
    )]
    pub(crate) database: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_by_its_beginning() {
        let parsed = |text: &str| {
            text.parse::<StoreAddress>()
                .map_err(|error| error.to_string())
        };
        assert_eq!(parsed("sqlite:a:b"), Ok(StoreAddress::Sqlite("a:b".into())));
        for (text, reason) in [
            ("sqlite:", "no file"),
            ("appweight.db", "neither"),
            ("mysql://db", "neither"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        #[cfg(not(feature = "clickhouse"))]
        assert!(parsed("clickhouse://db").unwrap_err().contains("without"));
        #[cfg(feature = "clickhouse")]
        assert_eq!(
            parsed("clickhouse://u:secret@db").map(|at| at.to_string()),
            Ok("http://db:8123/appweight".into())
        );
    }
}
