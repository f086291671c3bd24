use std::collections::BTreeMap;

use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::problem::Refusal;
use crate::store::TimeRange;

/// The parameters of a question. A wrong one is named in the refusal.
#[derive(Debug)]
pub(super) struct Params {
    uri: Uri,
    values: BTreeMap<String, String>,
}

impl Params {
    /// Reads them. One that is not among `known` is refused: it is misspelt, and the answer would
    /// be to another question.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let mut values = BTreeMap::new();
        let pairs = uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (encoded, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(encoded, encoded)?;
            if !known.contains(&name.as_str()) {
                let detail = format!(
                    "There is no such parameter; there are {}.",
                    known.join(", ")
                );
                return Err(Refusal::of(StatusCode::BAD_REQUEST, name, detail));
            }
            let value = decoded(&name, value)?;
            if values.insert(name.clone(), value).is_some() {
                return Err(Refusal::of(
                    StatusCode::BAD_REQUEST,
                    name,
                    "It is given twice.",
                ));
            }
        }
        Ok(Self {
            uri: uri.clone(),
            values,
        })
    }

    /// What was asked.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// All that were given, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter, if it is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.values
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    /// A parameter, if it is there; also if it is empty.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// One of a few words, as what it stands for. An empty one is none of them.
    pub(super) fn one_of<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Refusal::of(
                StatusCode::BAD_REQUEST,
                name,
                format!("It is {}.", words.join(" or ")),
            )
        })
    }

    pub(super) fn required(&self, name: &str) -> Result<String, Refusal> {
        self.text(name)
            .ok_or_else(|| Refusal::of(StatusCode::BAD_REQUEST, name, "It must be given."))
    }

    /// A whole number, as far as any store counts: all times lie below.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number <= TimeRange::ALL.until_us => Ok(Some(number)),
            _ => Err(Refusal::of(
                StatusCode::BAD_REQUEST,
                name,
                format!(
                    "{text:?} is not a whole number of 0 to {}.",
                    TimeRange::ALL.until_us
                ),
            )),
        }
    }

    /// How many to answer with, `limit`: at least 1.
    pub(super) fn limit(&self, default: u32, most: u32) -> Result<u32, Refusal> {
        self.number_within("limit", default, most)
    }

    /// A number from 1 up to `most`.
    pub(super) fn number_within(
        &self,
        name: &str,
        default: u32,
        most: u32,
    ) -> Result<u32, Refusal> {
        match self.number(name)? {
            None => Ok(default),
            Some(number) => u32::try_from(number)
                .ok()
                .filter(|limit| (1..=most).contains(limit))
                .ok_or_else(|| {
                    Refusal::of(StatusCode::BAD_REQUEST, name, format!("It is 1 to {most}."))
                }),
        }
    }

    /// The time asked for: `from_us` until `until_us`.
    pub(super) fn time(&self) -> Result<TimeRange, Refusal> {
        let time = TimeRange {
            from_us: self.number("from_us")?.unwrap_or(TimeRange::ALL.from_us),
            until_us: self.number("until_us")?.unwrap_or(TimeRange::ALL.until_us),
        };
        if time.from_us > time.until_us {
            return Err(Refusal::of(
                StatusCode::BAD_REQUEST,
                "from_us",
                "It lies after until_us.",
            ));
        }
        Ok(time)
    }

    /// The service to look in: one that is named without asking whether there is such a one. Who finds something in it need not
    /// ask; who finds nothing asks [`Self::service`], which refuses an unknown one.
    pub(super) async fn service_to_look_in(&self, app: &App) -> Result<String, Refusal> {
        match self.text("service") {
            Some(service) => Ok(service),
            None => self.service(app).await,
        }
    }

    /// The service asked about; may be left out if there is only one.
    pub(super) async fn service(&self, app: &App) -> Result<String, Refusal> {
        let known = app.store.services().await?;
        let mut known: Vec<String> = known.into_iter().map(|known| known.service).collect();
        let asked = self.text("service");
        let at = match &asked {
            Some(asked) => known.iter().position(|known| known == asked),
            None => (known.len() == 1).then_some(0),
        };
        if let Some(at) = at {
            return Ok(known.swap_remove(at));
        }
        match asked {
            Some(service) => Err(Refusal::of(
                StatusCode::NOT_FOUND,
                "service",
                format!("Nothing is known of service {service:?}."),
            )),
            None if known.is_empty() => Err(Refusal::of(
                StatusCode::NOT_FOUND,
                "service",
                "There is no service yet: no batch and no deploy has come.",
            )),
            None => Err(Refusal::of(
                StatusCode::BAD_REQUEST,
                "service",
                format!(
                    "It must be given, there are {}: {}.",
                    known.len(),
                    known.join(", ")
                ),
            )),
        }
    }
}

/// A name or a value as a form writes it. What is written wrongly is refused in the parameter's name: guessing what it
/// should be would answer another question.
fn decoded(parameter: &str, encoded: &str) -> Result<String, Refusal> {
    let refused = |detail| Refusal::of(StatusCode::BAD_REQUEST, parameter, detail);
    let digits = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !encoded.split('%').skip(1).all(digits) {
        return Err(refused(
            "It has a % without two hexadecimal digits after it; a % itself is written %25.",
        ));
    }
    // A plus that is meant is written %2B.
    let text = encoded.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8();
    text.map(Into::into)
        .map_err(|_| refused("What its % stand for is not UTF-8."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Params, Refusal> {
        Params::of(
            &format!("/x?{query}").parse().unwrap(),
            &["limit", "from_us", "until_us", "id"],
        )
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for query in ["limt=1", "id=a&id=b"] {
            assert_eq!(
                of(query).unwrap_err().status(),
                StatusCode::BAD_REQUEST,
                "{query}"
            );
        }
        for query in [
            "limit=0",
            "limit=11",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=99999999999",
        ] {
            assert!(of(query).unwrap().limit(5, 10).is_err(), "{query}");
        }
        for query in [
            "from_us=2&until_us=1",
            "from_us=",
            "until_us=9223372036854775808",
        ] {
            assert!(of(query).unwrap().time().is_err(), "{query}");
        }
        assert!(of("id=").unwrap().required("id").is_err());
        let words = [("a", 1), ("b", 2)];
        for query in ["id=c", "id="] {
            assert!(of(query).unwrap().one_of("id", &words).is_err(), "{query}");
        }
    }

    #[test]
    fn what_is_encoded_wrongly_is_refused_by_name() {
        for (query, parameter) in [
            ("id=%", "id"),
            ("id=a%2", "id"),
            ("id=%zz", "id"),
            ("id=%+1", "id"),
            ("id=%ff", "id"),
            ("limit=1&id=%e6%97", "id"),
            ("id=%ED%A0%80", "id"),
            ("i%d=a", "i%d"),
            ("%ff=a", "%ff"),
        ] {
            let refusal = of(query).unwrap_err();
            assert_eq!(refusal.status(), StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(refusal.field(), Some(parameter), "{query}");
        }
        for (query, id) in [
            ("id=%25", "%"),
            ("id=%E6%97%a5", "日"),
            ("&%69d=a%26b&", "a&b"),
        ] {
            assert_eq!(of(query).unwrap().text("id").unwrap(), id);
        }
    }

    #[test]
    fn right_ones_are_read_and_decoded() {
        let params = of("limit=7&id=release%2F1+2").unwrap();
        assert_eq!(params.limit(5, 10).unwrap(), 7);
        assert_eq!(params.text("id").unwrap(), "release/1 2");
        assert_eq!(params.time().unwrap(), TimeRange::ALL);
        let words = [("release/1 2", 1)];
        assert_eq!(params.one_of("id", &words).unwrap(), Some(1));
        assert_eq!(of("id=").unwrap().given("id").as_deref(), Some(""));
    }
}
