use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::{Received, Sent};
use crate::packed::{self, PackedRequests, Unread};
use crate::validate::{Invalid, Validate, limits};
use crate::{Batch, Content, Deploy, RequestRecord};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MessagePack with structs as maps from field names: `application/msgpack`.
    MessagePack,
    /// JSON with the same field names: `application/json`.
    Json,
}

impl Format {
    /// The media type to send it with.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::MessagePack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// The format of a `Content-Type` header, parameters ignored; `None` for any other type.
    #[must_use]
    pub fn from_content_type(header: &str) -> Option<Self> {
        let essence = header.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if [
            "application/msgpack",
            "application/x-msgpack",
            "application/vnd.msgpack",
        ]
        .iter()
        .any(|name| essence.eq_ignore_ascii_case(name))
        {
            Some(Self::MessagePack)
        } else {
            None
        }
    }
}

/// Why a body was refused. [`DecodeError::field`] names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is not of its format, or a field has the wrong type.
    #[error("{reason}")]
    Malformed {
        /// Where, as `cells[3].cpu_ns.sum`; `"."` for the whole body.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// Every field has its type, but one has a value that cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl DecodeError {
    /// The path of the field at fault, as `cells[3].cpu_ns.sum`; `"."` for the whole body.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Malformed { field, .. } => field,
            Self::Invalid(invalid) => &invalid.field,
        }
    }
}

/// Reads and checks a batch.
///
/// # Errors
/// If the body is not of that format, a field is missing or of the wrong type, or a value breaks
/// one of the [`limits`](crate::limits).
pub fn decode_batch(body: &[u8], format: Format) -> Result<Batch, DecodeError> {
    decode(body, format)
}

/// Reads and checks a batch as [`decode_batch`] does. Request records that came packed, if all did and cells hold the
/// counts, are handed out beside it as they came instead of in it: whoever keeps them so need not unpack them.
///
/// # Errors
/// As [`decode_batch`].
pub fn decode_batch_and_packed(
    body: &[u8],
    format: Format,
) -> Result<(Batch, Option<PackedRequests>), DecodeError> {
    if format == Format::MessagePack
        && let Some(read) = read_without_unpacking(body)
    {
        return Ok(read);
    }
    Ok((decode_batch(body, format)?, None))
}

/// `None` if it has to be read record by record, be it to tell what is wrong.
fn read_without_unpacking(body: &[u8]) -> Option<(Batch, Option<PackedRequests>)> {
    let mut received: Received<Unread> = read_plainly(body, Format::MessagePack)?;
    let packed = match received.packed_requests.0.take() {
        None => None,
        Some(packed) => {
            let alone = received.requests.is_empty() && received.content == Content::Cells;
            Some(alone.then(|| PackedRequests::check(packed))??)
        }
    };
    let batch = received.without_packed();
    let records = batch.len() + packed.as_ref().map_or(0, PackedRequests::len);
    let sound = records <= limits::RECORDS && batch.validate().is_ok();
    sound.then_some((batch, packed))
}

/// Reads and checks a deploy.
///
/// # Errors
/// As [`decode_batch`].
pub fn decode_deploy(body: &[u8], format: Format) -> Result<Deploy, DecodeError> {
    decode(body, format)
}

/// Writes a batch or a deploy.
///
/// # Panics
/// Never for this crate's types, which both formats can express.
#[must_use]
pub fn encode<T: Serialize>(value: &T, format: Format) -> Vec<u8> {
    match format {
        Format::MessagePack => {
            rmp_serde::to_vec_named(value).expect("MessagePack can express every wire type")
        }
        Format::Json => serde_json::to_vec(value).expect("JSON can express every wire type"),
    }
}

/// Writes a batch as an agent sends it: MessagePack with the request records [packed] by columns. Read by
/// [`decode_batch`] as any other.
///
/// [packed]: https://github.com/appweight/appweight/blob/main/docs/wire.md#packed-request-records
///
/// # Panics
/// Never, as [`encode`].
#[must_use]
pub fn encode_packed(batch: &Batch) -> Vec<u8> {
    encode(&Sent::of(batch), Format::MessagePack)
}

/// Writes request records packed by columns, as they are in a batch of [`encode_packed`].
#[must_use]
pub fn pack_requests(records: &[RequestRecord]) -> Vec<u8> {
    packed::pack(records)
}

/// Reads what [`pack_requests`] wrote, without checking values.
///
/// # Errors
/// If it is anything else, or more than a batch may hold.
pub fn unpack_requests(packed: &[u8]) -> Result<Vec<RequestRecord>, DecodeError> {
    packed::unpack(packed).map_err(|error| DecodeError::Malformed {
        field: "packed_requests".into(),
        reason: error.to_string(),
    })
}

fn decode<T: DeserializeOwned + Validate>(body: &[u8], format: Format) -> Result<T, DecodeError> {
    let value: T = decode_unchecked(body, format)?;
    value.validate()?;
    Ok(value)
}

fn decode_unchecked<T: DeserializeOwned>(body: &[u8], format: Format) -> Result<T, DecodeError> {
    // To keep the path of each field at hand costs more than reading: it is looked for where something is wrong.
    match read_plainly(body, format) {
        Some(value) => Ok(value),
        None => read(body, format),
    }
}

fn read_plainly<T: DeserializeOwned>(body: &[u8], format: Format) -> Option<T> {
    match format {
        Format::MessagePack => {
            let mut deserializer = message_pack(body);
            let value = T::deserialize(&mut deserializer).ok()?;
            is_at_end(&mut deserializer).then_some(value)
        }
        Format::Json => serde_json::from_slice(body).ok(),
    }
}

/// As [`read_plainly`], and tells what is wrong and where.
fn read<T: DeserializeOwned>(body: &[u8], format: Format) -> Result<T, DecodeError> {
    match format {
        Format::MessagePack => {
            let mut deserializer = message_pack(body);
            let value = serde_path_to_error::deserialize(&mut deserializer);
            let value = value.map_err(malformed)?;
            if is_at_end(&mut deserializer) {
                Ok(value)
            } else {
                Err(DecodeError::Malformed {
                    field: ".".into(),
                    reason: "bytes follow the end of the MessagePack value".into(),
                })
            }
        }
        Format::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            let value = serde_path_to_error::deserialize(&mut deserializer).map_err(malformed)?;
            deserializer.end().map_err(|error| DecodeError::Malformed {
                field: ".".into(),
                reason: error.to_string(),
            })?;
            Ok(value)
        }
    }
}

type MessagePack<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

/// Reads from where the body lies: texts are copied once.
fn message_pack(body: &[u8]) -> MessagePack<'_> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(limits::DEPTH);
    deserializer
}

/// Whether nothing follows the value that was read. It is not told how much was, but where nothing is, there is no next
/// value's first byte; of anything else that byte is read, and it is nil or of the wrong type.
fn is_at_end(deserializer: &mut MessagePack<'_>) -> bool {
    matches!(
        <()>::deserialize(deserializer),
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_))
    )
}

fn malformed<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> DecodeError {
    // Where a body ends within a field's name, the path ends in a question mark.
    let path = error.path().to_string();
    let known = path.trim_end_matches('?').trim_end_matches('.');
    DecodeError::Malformed {
        field: if known.is_empty() { "." } else { known }.into(),
        reason: error.inner().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_come_back_and_bytes_behind_the_end_are_refused() {
        let deploy = Deploy {
            service: "photos".into(),
            id: "8f2c1a9".into(),
            ..Deploy::default()
        };
        for format in [Format::MessagePack, Format::Json] {
            let mut body = encode(&deploy, format);
            assert_eq!(decode_deploy(&body, format).unwrap(), deploy);
            for byte in 0..=u8::MAX {
                let behind = [body.as_slice(), &[byte]].concat();
                let blank = format == Format::Json && byte.is_ascii_whitespace();
                match decode_deploy(&behind, format) {
                    Ok(_) => assert!(blank && byte != 0x0c, "{byte:#x}"),
                    Err(error) => assert_eq!(error.field(), ".", "{byte:#x}"),
                }
            }
            body.extend(body.clone());
            assert_eq!(decode_deploy(&body, format).unwrap_err().field(), ".");
        }
    }

    #[test]
    fn packed_records_are_handed_out_as_they_came_if_all_are() {
        let batch = Batch {
            requests: vec![RequestRecord {
                start_us: 1_764_000_000_000_000,
                endpoint: "/feed".into(),
                weight: 1,
                ..RequestRecord::default()
            }],
            version: crate::VERSION,
            source: uuid::Uuid::from_u128(1),
            sequence: 0,
            origin: crate::Origin {
                service: "photos".into(),
                deploy: "8f2c1a9".into(),
                host: "web-1".into(),
                ..crate::Origin::default()
            },
            content: Content::Cells,
            cell_width_us: None,
            cells: Vec::new(),
            processes: Vec::new(),
            profiles: Vec::new(),
        };
        let read = |body: &[u8]| decode_batch_and_packed(body, Format::MessagePack);
        let (rest, packed) = read(&encode_packed(&batch)).unwrap();
        let packed = packed.unwrap();
        assert_eq!(packed.as_bytes(), pack_requests(&batch.requests));
        assert_eq!(packed.unpack().unwrap(), batch.requests);
        let without = Batch {
            requests: Vec::new(),
            ..batch.clone()
        };
        assert_eq!(rest, without);
        for format in [Format::MessagePack, Format::Json] {
            let plain = decode_batch_and_packed(&encode(&batch, format), format);
            assert_eq!(plain.unwrap(), (batch.clone(), None));
        }
        // The collector makes cells of them.
        let counted = Batch {
            content: Content::Requests,
            ..batch.clone()
        };
        assert_eq!(read(&encode_packed(&counted)).unwrap(), (counted, None));
        // What is refused is refused for what is wrong with it.
        let mut broken = batch;
        broken.requests[0].status = Some(7);
        let error = read(&encode_packed(&broken)).unwrap_err();
        assert_eq!(error.field(), "requests[0].status");
    }

    #[test]
    fn a_body_is_not_gone_down_into_without_end() {
        // {"id": "a", "service": "s", "later": [[[…]]]}
        let with = |levels: usize| {
            let mut body = b"\x83\xa2id\xa1a\xa7service\xa1s\xa5later".to_vec();
            body.extend(std::iter::repeat_n(0x91, levels));
            body.push(0xc0);
            body
        };
        assert_eq!(
            decode_deploy(&with(50), Format::MessagePack).unwrap().id,
            "a",
            "a field of a later version is read past"
        );
        for levels in [limits::DEPTH, 1_000_000] {
            let error = decode_deploy(&with(levels), Format::MessagePack).unwrap_err();
            assert!(matches!(error, DecodeError::Malformed { .. }), "{error:?}");
        }
        // JSON is read past without going down.
        let levels = 1_000_000;
        let later = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let body = format!(r#"{{"id": "a", "service": "s", "later": {later}}}"#);
        assert_eq!(
            decode_deploy(body.as_bytes(), Format::Json).unwrap().id,
            "a"
        );
        let body = format!(r#"{{"id": {later}, "service": "s"}}"#);
        assert_eq!(
            decode_deploy(body.as_bytes(), Format::Json)
                .unwrap_err()
                .field(),
            "id"
        );
    }

    #[test]
    fn a_body_that_breaks_off_in_a_name_is_at_fault_where_the_name_would_stand() {
        let field = |body: &[u8]| {
            let error = decode_batch(body, Format::Json).unwrap_err();
            error.field().to_owned()
        };
        assert_eq!(field(br#"{"ver"#), ".");
        assert_eq!(field(br#"{"origin": {"serv"#), "origin");
    }
}
