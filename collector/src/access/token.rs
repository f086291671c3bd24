use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Fewer can be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 512;

/// A secret that lets its holder in. Only its SHA-256 is kept, and compared in constant time.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// Why something is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too short or too long.
    #[error("a token has {SHORTEST} to {LONGEST} characters, this one has {0}")]
    Length(usize),
    /// A character that no token has.
    #[error("a token has letters, digits and -._~+/ alone; `openssl rand -hex 32` makes one")]
    Character,
    /// A line of a list does not say what the token is for.
    #[error("line {number} is none of `read TOKEN`, `write TOKEN`, `write SERVICE TOKEN`")]
    Words {
        /// Counted from 1.
        number: usize,
    },
    /// A line of a list has no token.
    #[error("line {number}: {reason}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Why not.
        reason: Box<TokenError>,
    },
}

impl Token {
    fn digest(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(secret: &str) -> Result<Self, TokenError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if !(SHORTEST..=LONGEST).contains(&secret.len()) {
            return Err(TokenError::Length(secret.len()));
        }
        if !secret.bytes().all(plain) {
            return Err(TokenError::Character);
        }
        Ok(Self::digest(secret.as_bytes()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// The token that a request presents: as a bearer, or, as a browser does when it has asked its reader,
/// as the password of any user.
pub(super) fn presented(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Token::digest(rest.trim().as_bytes()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(rest.trim()).ok()?;
        let colon = pair.iter().position(|&byte| byte == b':')?;
        return Some(Token::digest(&pair[colon + 1..]));
    }
    None
}
