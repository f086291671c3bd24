//! Which deploys and flags of a stream of cells changed the cost of a request, looked at every minute.
//!
//! [`Detector`] takes deploys and cells in order of time and answers with verdicts as soon as they are sure.
//! It never looks ahead: a verdict of minute t is the same whatever follows. `docs/method.md` has the statistics.

mod alike;
mod calibration;
mod detector;
mod endpoint;
mod evidence;
mod filter;
mod flag;
mod flags;
mod hosts;
mod incidents;
mod ladder;
mod learn;
mod lines;
mod noise;
mod pair;
mod ramps;
mod recent;
mod regression;
mod settings;
mod spend;
mod stream;
mod tail;
mod tell;
mod warm_up;

pub(crate) use detector::{CORE_NS_BY_MINUTE, SERVICE_LEVEL};
pub(crate) use endpoint::Cell;
pub(crate) use evidence::{part_of_level, z_of};
pub(crate) use flags::{Against, Arm, FlagCell, Flags, OFF};
pub(crate) use regression::Estimate;
pub(crate) use stream::DayStream;
pub(crate) use tell::{Z_95, verdict};

pub use detector::{DetectError, Detector, WatchOf};
pub use lines::{CellLine, DeployLine, Ruling, VerdictLine};
pub use settings::Settings;
