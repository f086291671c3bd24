use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// Why a table cannot be written.
pub(super) type TableError = parquet::errors::ParquetError;

/// Rows that are written together: a few megabytes.
const GROUP: usize = 100_000;

/// A column whose values are all there.
pub(super) const REQUIRED: Repetition = Repetition::REQUIRED;
/// One whose values may be absent.
pub(super) const OPTIONAL: Repetition = Repetition::OPTIONAL;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// A whole number from 0 on.
    Count,
    /// A time, µs since the Unix epoch, in UTC.
    Time,
    /// Any number.
    Real,
    /// Yes or no.
    Flag,
}

/// A column: its name, what stands in it, and whether it may be absent.
pub(super) type Column = (String, Kind, Repetition);

/// One value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Count(u64),
    Real(f64),
    Flag(bool),
    Absent,
}

/// A Parquet file that is being written, row by row.
pub(super) struct Table {
    writer: SerializedFileWriter<File>,
    columns: Vec<Collected>,
    rows: usize,
    written: u64,
}

/// The values of a column that are not written yet.
struct Collected {
    texts: Vec<ByteArray>,
    counts: Vec<i64>,
    reals: Vec<f64>,
    flags: Vec<bool>,
    /// 1 for a value that is there; empty if none may be absent.
    there: Vec<i16>,
    kind: Kind,
    optional: bool,
}

impl Table {
    pub(super) fn create(path: &Path, name: &str, columns: &[Column]) -> Result<Self, TableError> {
        let fields = columns
            .iter()
            .map(|(name, kind, repetition)| {
                let (physical, converted) = match kind {
                    Kind::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
                    Kind::Count => (Physical::INT64, ConvertedType::UINT_64),
                    Kind::Time => (Physical::INT64, ConvertedType::TIMESTAMP_MICROS),
                    Kind::Real => (Physical::DOUBLE, ConvertedType::NONE),
                    Kind::Flag => (Physical::BOOLEAN, ConvertedType::NONE),
                };
                let field = Type::primitive_type_builder(name, physical)
                    .with_repetition(*repetition)
                    .with_converted_type(converted);
                field.build().map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder(name).with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("appweight ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = File::create(path)?;
        let collected = columns.iter().map(|(_, kind, repetition)| Collected {
            kind: *kind,
            optional: *repetition == Repetition::OPTIONAL,
            texts: Vec::new(),
            counts: Vec::new(),
            reals: Vec::new(),
            flags: Vec::new(),
            there: Vec::new(),
        });
        Ok(Self {
            writer: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            columns: collected.collect(),
            rows: 0,
            written: 0,
        })
    }

    /// Adds a row with a value for each column.
    pub(super) fn row(&mut self, values: &[Value<'_>]) -> Result<(), TableError> {
        if values.len() != self.columns.len() {
            return Err(TableError::General(format!(
                "a row of {} values in {} columns",
                values.len(),
                self.columns.len()
            )));
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(*value)?;
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left. Tells how many rows there are.
    pub(super) fn finish(mut self) -> Result<u64, TableError> {
        self.write_group()?;
        let file = self.writer.into_inner()?;
        file.sync_all()?;
        Ok(self.written)
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else {
                break;
            };
            let there = column.optional.then_some(column.there.as_slice());
            match column.kind {
                Kind::Text => {
                    writer
                        .typed::<ByteArrayType>()
                        .write_batch(&column.texts, there, None)?
                }
                Kind::Count | Kind::Time => {
                    writer
                        .typed::<Int64Type>()
                        .write_batch(&column.counts, there, None)?
                }
                Kind::Flag => writer
                    .typed::<BoolType>()
                    .write_batch(&column.flags, there, None)?,
                Kind::Real => {
                    writer
                        .typed::<DoubleType>()
                        .write_batch(&column.reals, there, None)?
                }
            };
            writer.close()?;
            column.clear();
        }
        group.close()?;
        self.written += self.rows as u64;
        self.rows = 0;
        Ok(())
    }
}

impl Collected {
    fn push(&mut self, value: Value<'_>) -> Result<(), TableError> {
        let fits = match (value, self.kind) {
            (Value::Text(text), Kind::Text) => {
                self.texts.push(ByteArray::from(text));
                true
            }
            (Value::Count(count), Kind::Count | Kind::Time) => {
                self.counts.push(count.cast_signed());
                true
            }
            (Value::Real(real), Kind::Real) => {
                self.reals.push(real);
                true
            }
            (Value::Flag(flag), Kind::Flag) => {
                self.flags.push(flag);
                true
            }
            (Value::Absent, _) => self.optional,
            _ => false,
        };
        if !fits {
            return Err(TableError::General(format!(
                "{value:?} in a column of {:?}",
                self.kind
            )));
        }
        if self.optional {
            self.there.push(i16::from(!matches!(value, Value::Absent)));
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.counts.clear();
        self.reals.clear();
        self.flags.clear();
        self.there.clear();
    }
}
