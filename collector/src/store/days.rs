//! What is kept of a day, as it is written.

use appweight::drift::Day;

use super::StoreError;

pub(super) fn pack(day: &Day) -> Result<String, StoreError> {
    serde_json::to_string(day).map_err(|error| unreadable(&error))
}

pub(super) fn unpack(text: &str) -> Result<Day, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        what: "day",
        reason: error.to_string(),
    }
}
