//! Who may write and who may read.

mod guard;
mod token;

use http::{HeaderMap, StatusCode, header};

pub use token::{Token, TokenError};

use crate::problem::Refusal;

/// The tokens that a collector asks for: one kind for writing, of all services or of one, another for
/// reading. Without a token of a kind nobody is asked for one.
#[derive(Debug, Clone, Default)]
pub struct Access {
    write: Vec<(Option<String>, Token)>,
    read: Vec<Token>,
    own: Option<(String, Token)>,
}

/// What a client may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Of which services; all if empty.
    only: Vec<String>,
}

impl Access {
    /// Lets the holder of a token write: batches and roll-outs of one service, or of all.
    pub fn allow_write(&mut self, service: Option<&str>, token: Token) {
        self.write.push((service.map(str::to_owned), token));
    }

    /// Lets the holder of a token read everything.
    pub fn allow_read(&mut self, token: Token) {
        self.read.push(token);
    }

    /// Knows the collector's own agent by a token, which may write that service alone. It is no reason to ask
    /// others for one.
    pub fn allow_own(&mut self, service: &str, token: Token) {
        self.own = Some((service.to_owned(), token));
    }

    /// Whether the collector's own agent sent these headers.
    #[must_use]
    pub fn is_own(&self, headers: &HeaderMap) -> bool {
        self.own
            .as_ref()
            .zip(token::presented(headers))
            .is_some_and(|((_, own), presented)| presented.is(own))
    }

    /// Reads a list with one token on each line: `read TOKEN`, `write TOKEN` or `write SERVICE TOKEN`.
    /// Empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// If a line is none of these; it is named by its number, since it may be a secret.
    pub fn add_list(&mut self, list: &str) -> Result<(), TokenError> {
        for (number, line) in (1..).zip(list.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let of = |token: &str| {
                token.parse().map_err(|reason| TokenError::Line {
                    number,
                    reason: Box::new(reason),
                })
            };
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["read", token] => self.allow_read(of(token)?),
                ["write", token] => self.allow_write(None, of(token)?),
                ["write", service, token] => self.allow_write(Some(service), of(token)?),
                _ => return Err(TokenError::Words { number }),
            }
        }
        Ok(())
    }

    /// Whether both to write and to read a token is needed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.write.is_empty() && self.asks_readers()
    }

    /// Whether a token is needed to read.
    #[must_use]
    pub fn asks_readers(&self) -> bool {
        !self.read.is_empty()
    }

    /// What whoever sent these headers may write.
    pub(crate) fn writer(&self, headers: &HeaderMap) -> Result<Writer, Refusal> {
        if self.write.is_empty() {
            return Ok(Writer { only: Vec::new() });
        }
        let presented = token::presented(headers);
        // All are looked at, so that the time tells nothing about which one it is.
        let mut services = Vec::new();
        for (service, token) in &self.write {
            if presented
                .as_ref()
                .is_some_and(|presented| presented.is(token))
            {
                services.push(service.clone());
            }
        }
        if let Some((service, _)) = self.own.as_ref().filter(|_| self.is_own(headers)) {
            services.push(Some(service.clone()));
        }
        if services.is_empty() {
            return Err(unknown(presented.is_some(), "write"));
        }
        let only: Option<Vec<String>> = services.into_iter().collect();
        Ok(Writer {
            only: only.unwrap_or_default(),
        })
    }

    /// Whether whoever sent these headers may read.
    pub(crate) fn reader(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.read.is_empty() {
            return Ok(());
        }
        let presented = token::presented(headers);
        let known = self.read.iter().fold(false, |known, token| {
            known
                | presented
                    .as_ref()
                    .is_some_and(|presented| presented.is(token))
        });
        if known {
            Ok(())
        } else {
            Err(unknown(presented.is_some(), "read"))
        }
    }
}

impl Writer {
    /// Whether records of that service may be written.
    pub(crate) fn may_write(&self, service: &str, field: &str) -> Result<(), Refusal> {
        if self.only.is_empty() || self.only.iter().any(|only| only == service) {
            return Ok(());
        }
        Err(Refusal::of(
            StatusCode::FORBIDDEN,
            field,
            format!("This token is for {}.", self.only.join(" and ")),
        ))
    }
}

fn unknown(presented: bool, to: &str) -> Refusal {
    let what = if presented {
        "This token is not known here"
    } else {
        "A token is needed"
    };
    Refusal::of(
        StatusCode::UNAUTHORIZED,
        header::AUTHORIZATION.as_str(),
        format!("{what}: send `Authorization: Bearer TOKEN` with one that may {to}."),
    )
}

#[cfg(test)]
mod tests;
