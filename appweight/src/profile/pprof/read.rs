use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;

use super::message as proto;
use crate::profile::builds::Builds;
use crate::profile::parts::{Function, FunctionId, Taken, Timer};
use crate::profile::tree::Profile;

/// What a file may be when it is unpacked: ten times the largest that profilers are known to write.
pub(super) const MAX_BYTES: u64 = 512 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why bytes are no profile.
#[derive(Debug, thiserror::Error)]
pub enum PprofError {
    /// Not gzip, or broken off.
    #[error("the gzip stream is broken")]
    Gzip(#[from] std::io::Error),
    /// Unpacked it is larger than any profile.
    #[error("the profile is larger than {} MiB when it is unpacked", MAX_BYTES >> 20)]
    TooLarge,
    /// Not this message.
    #[error("not a pprof profile")]
    Protobuf(#[from] prost::DecodeError),
    /// A number that leads nowhere.
    #[error("not a pprof profile: {what} {number} is not there")]
    Missing {
        /// What is referred to.
        what: &'static str,
        /// By this number.
        number: u64,
    },
    /// Nothing of the name that was asked for.
    #[error("the profile has no values called {wanted:?}; it has {}", there.join(", "))]
    NoSuchValue {
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Nothing at all.
    #[error("the profile has no values")]
    NoValues,
}

/// A profile that was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The tree. No request is behind it yet: pprof knows of none.
    pub profile: Profile,
    /// How long was profiled, ns; 0 if the file does not say.
    pub duration_ns: u64,
}

/// Reads a profile, packed or not, as one replicate.
///
/// `value` is one of the file's sample types (`cpu`, `alloc_space`, …); by default the one that the file names as
/// its default, else the last, as pprof does. If another type counts samples, these are the nodes' calls.
///
/// # Errors
/// If the bytes are no such profile, or have no such values.
pub fn read(bytes: &[u8], value: Option<&str>, replicate: usize) -> Result<Imported, PprofError> {
    let unpacked;
    let bytes = if bytes.starts_with(&GZIP) {
        unpacked = unpack(bytes)?;
        &unpacked
    } else {
        bytes
    };
    let file = proto::Profile::decode(bytes)?;
    let strings = Strings(&file.string_table);
    let wanted = choose(&file, strings, value)?;
    let types = &file.sample_type;
    let name = |number: i64| strings.get(number).map(str::to_owned);
    let timer = Timer {
        name: name(types[wanted].r#type)?,
        unit: match name(types[wanted].unit)?.as_str() {
            "nanoseconds" => "ns".to_owned(),
            other => other.to_owned(),
        },
    };
    let mut counts = None;
    for (at, kind) in types.iter().enumerate() {
        if at != wanted && strings.get(kind.unit)? == "count" {
            counts = Some(at);
            break;
        }
    }

    let mut profile = Profile::of_replicate(timer, replicate)
        .taken_by(Taken::Sampled)
        .of_builds(build(&file, strings)?);
    let frames = frames(&file, strings, &mut profile)?;
    let mut samples = 0_u64;
    for sample in &file.sample {
        let mut node = profile.root();
        // The leaf comes first.
        for location in sample.location_id.iter().rev() {
            let frames = frames.get(location).ok_or(PprofError::Missing {
                what: "location",
                number: *location,
            })?;
            for function in frames {
                node = profile.child_by_id(node, *function);
            }
        }
        let own = sample.value.get(wanted).copied().unwrap_or(0);
        let seen = counts.and_then(|at| sample.value.get(at)).copied();
        let seen = u64::try_from(seen.unwrap_or(1)).unwrap_or(0);
        samples = samples.saturating_add(seen);
        profile.add(node, seen, own);
    }
    profile.count(0, samples);
    Ok(Imported {
        profile,
        duration_ns: u64::try_from(file.duration_nanos).unwrap_or(0),
    })
}

/// That of the program itself.
fn build(file: &proto::Profile, strings: Strings<'_>) -> Result<Builds, PprofError> {
    let Some(program) = file.mapping.first() else {
        return Ok(Builds::default());
    };
    let id = Some(strings.get(program.build_id)?).filter(|id| !id.is_empty());
    Ok(id.into_iter().collect())
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, PprofError> {
    let mut unpacked = Vec::new();
    let mut reader = GzDecoder::new(bytes).take(MAX_BYTES + 1);
    reader.read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_BYTES {
        return Err(PprofError::TooLarge);
    }
    Ok(unpacked)
}

fn choose(
    file: &proto::Profile,
    strings: Strings<'_>,
    value: Option<&str>,
) -> Result<usize, PprofError> {
    let mut there = Vec::with_capacity(file.sample_type.len());
    for kind in &file.sample_type {
        there.push(strings.get(kind.r#type)?.to_owned());
    }
    let named = |wanted: &str| there.iter().position(|name| name == wanted);
    match value {
        Some(wanted) => named(wanted).ok_or_else(|| PprofError::NoSuchValue {
            wanted: wanted.to_owned(),
            there: there.clone(),
        }),
        None => {
            let default = strings.get(file.default_sample_type)?;
            let last = there.len().checked_sub(1).ok_or(PprofError::NoValues)?;
            Ok(named(default).unwrap_or(last))
        }
    }
}

/// Of each location its functions, the outermost first: those that were inlined come last.
fn frames(
    file: &proto::Profile,
    strings: Strings<'_>,
    profile: &mut Profile,
) -> Result<HashMap<u64, Vec<FunctionId>>, PprofError> {
    let mut functions = HashMap::with_capacity(file.function.len());
    for function in &file.function {
        functions.insert(
            function.id,
            Function {
                name: strings.get(function.name)?.to_owned(),
                file: strings.get(function.filename)?.to_owned(),
                line: u32::try_from(function.start_line).unwrap_or(0),
            },
        );
    }
    let mut frames = HashMap::with_capacity(file.location.len());
    for location in &file.location {
        let mut chain = Vec::with_capacity(location.line.len().max(1));
        for line in location.line.iter().rev() {
            let function = functions
                .get(&line.function_id)
                .ok_or(PprofError::Missing {
                    what: "function",
                    number: line.function_id,
                })?;
            chain.push(profile.function_id(function));
        }
        if chain.is_empty() {
            let name = format!("{:#x}", location.address);
            chain.push(profile.function_id(&Function::named(&name)));
        }
        frames.insert(location.id, chain);
    }
    Ok(frames)
}

#[derive(Clone, Copy)]
struct Strings<'a>(&'a [String]);

impl<'a> Strings<'a> {
    fn get(self, number: i64) -> Result<&'a str, PprofError> {
        usize::try_from(number)
            .ok()
            .and_then(|at| self.0.get(at))
            .map(String::as_str)
            // A file may do without the empty string that ought to be first.
            .or((number == 0).then_some(""))
            .ok_or(PprofError::Missing {
                what: "string",
                number: number.unsigned_abs(),
            })
    }
}
