//! What the tests that cross AppWeight's crates share: real programs as children, a small measured
//! service, a client that knows `docs/wire.md` alone, and clients that keep a ledger of all that an agent tells.

mod by_hand;
mod child;
mod clickhouse;
mod clients;
mod collector;
mod contents;
mod drawn;
mod expect;
mod full_disk;
mod http;
mod ledger;
mod left_out;
mod program;
mod python;
mod random;
mod receiver;
mod roll_outs;
mod service;
mod speedscope;
mod stored;
mod system_calls;
mod today;
mod trials;
mod wait;

pub use by_hand::ByHand;
pub use child::Child;
pub use clickhouse::{KillableClickhouse, clickhouse_store};
pub use clients::Clients;
pub use collector::{Collector, Counted};
pub use expect::{compare_ledgers, expect_all_once, expect_ledgers};
pub use full_disk::{SmallDisk, limit_files, limit_files_of, unlimit_files};
pub use http::{Answer, get, get_over_tls, post, put, put_encoded, send};
pub use ledger::{Ledger, failed_with, print_ledgers};
pub use left_out::left_out;
pub use program::{Ended, program, run};
pub use python::python;
pub use random::random;
pub use receiver::{Message, Receiver};
pub use roll_outs::{announce, judged, roll_out};
pub use service::{Measured, Service};
pub use speedscope::speedscope;
pub use system_calls::SystemCalls;
pub use today::an_hour_ago;
pub use trials::{drains_when_asked_to_end, survives_a_full_disk};
pub use wait::{eventually, eventually_within};
