//! What an AppWeight agent says and a collector understands: batches of cells, request records,
//! process records and profiles, in MessagePack or JSON.
//!
//! Small and stable on purpose: `docs/wire.md` describes every field, so that an agent in another
//! language can be written from it alone. Nothing here does I/O, reads a clock or knows another
//! AppWeight crate; what a number *means* is judged elsewhere.
//!
//! Times are microseconds since the Unix epoch, sizes are bytes, CPU and wall time nanoseconds.
//! There is no floating-point number anywhere in the format, so that cells add up to the same
//! numbers in any order and a NaN cannot be said.

mod batch;
mod cell;
mod codec;
mod deploy;
mod distribution;
mod logarithm;
mod packed;
mod process;
mod profile;
mod request;
mod users;
mod validate;
mod wide;

pub use batch::{Batch, Content, Origin, SENT_US_HEADER, batch_id, host_group};
pub use cell::{Age, Cell, CellKey, InstructionSource, Kind};
pub use codec::{
    DecodeError, Format, decode_batch, decode_batch_and_packed, decode_deploy, encode,
    encode_packed, pack_requests, unpack_requests,
};
pub use deploy::Deploy;
pub use distribution::Distribution;
pub use packed::PackedRequests;
pub use process::{CounterStatus, EndpointCount, ProcessRecord};
pub use profile::{Function, ProfileRecord, Taken, TimerValues};
pub use request::{Downstream, Flag, RequestRecord};
pub use users::{ActiveUsers, UserSketchError};
pub use validate::{Invalid, limits};
pub use wide::Wide;

/// The version of the format that this crate writes. A collector reads this one and the one
/// before and after it: fields are added, never given another meaning.
pub const VERSION: u16 = 2;
