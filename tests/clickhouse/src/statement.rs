//! What a request says.

use crate::engine::Failure;

/// A request, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// What is asked.
    pub(crate) sql: String,
    /// The rows of an insert.
    pub(crate) body: Vec<u8>,
    /// The form of the answer, unless the question says one.
    pub(crate) format: Option<String>,
    /// Where tables without a database are.
    pub(crate) database: Option<String>,
    /// All other words of the address.
    pub(crate) settings: Vec<(String, String)>,
}

impl Request {
    /// The question is the word `query`, the body, or the one before the other.
    pub(crate) fn of(words: Vec<(String, String)>, body: &[u8]) -> Result<Self, Failure> {
        let mut request = Self::default();
        for (name, value) in words {
            match name.as_str() {
                "query" => request.sql = value,
                "default_format" => request.format = Some(value),
                "database" => request.database = Some(value),
                "compress" | "decompress" if value != "0" => {
                    return Err(unsupported("compressed blocks"));
                }
                _ if name.starts_with("param_") => return Err(unsupported("parameters")),
                _ => request.settings.push((name, value)),
            }
        }
        if request.sql.is_empty() {
            let sql = str::from_utf8(body).map_err(|_| unsupported("a question beyond UTF-8"))?;
            request.sql = sql.to_owned();
        } else {
            request.body = body.to_vec();
        }
        if has_several(&request.sql) {
            let said = "Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed)";
            return Err(Failure::new(said));
        }
        Ok(request)
    }
}

/// What the official client can send, but ours does not.
fn unsupported(what: &str) -> Failure {
    Failure::new(&format!(
        "Code: 48. DB::Exception: the front for tests does not take {what}. (NOT_IMPLEMENTED)"
    ))
}

/// An insert whose rows are in the body: `INSERT INTO t(a, b) FORMAT F`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Insert<'a> {
    /// The table and its columns.
    pub(crate) into: &'a str,
    /// The form of the rows.
    pub(crate) format: &'a str,
}

impl<'a> Insert<'a> {
    pub(crate) fn of(sql: &'a str) -> Option<Self> {
        let rest = sql.trim().strip_prefix("INSERT INTO ")?;
        let (into, format) = rest.rsplit_once(" FORMAT ")?;
        let is_name = format.chars().all(char::is_alphanumeric);
        is_name.then_some(Self { into, format })
    }
}

/// Whether anything stands behind a `;` that is in no string and no name.
fn has_several(sql: &str) -> bool {
    let (mut quote, mut escaped, mut ended) = (None, false, false);
    for letter in sql.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if ended && !letter.is_whitespace() => return true,
            None => match letter {
                '\'' | '"' | '`' => quote = Some(letter),
                ';' => ended = true,
                _ => {}
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_told_from_several() {
        for one in [
            "SELECT 1",
            "SELECT 1 ; ",
            "SELECT ';', \"a;b\", 'it\\'s; x'",
        ] {
            assert!(!has_several(one), "{one}");
        }
        for several in ["SELECT 1; SELECT 2", "SELECT 'a'; DROP TABLE x"] {
            assert!(has_several(several), "{several}");
        }
    }

    #[test]
    fn an_insert_is_told_from_a_question() {
        let insert = Insert::of("INSERT INTO `t`(`a`,`b`) FORMAT RowBinary");
        let (into, format) = ("`t`(`a`,`b`)", "RowBinary");
        assert_eq!(insert, Some(Insert { into, format }));
        assert_eq!(Insert::of("INSERT INTO t SELECT 1"), None);
        assert_eq!(Insert::of("SELECT 1 FORMAT TSV"), None);
    }

    #[test]
    fn a_question_may_be_in_the_address_or_in_the_body() {
        let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let asked = Request::of(vec![word("max_threads", "2")], b"SELECT 1").ok();
        let asked = asked.map(|request| (request.sql, request.settings));
        assert_eq!(
            asked,
            Some(("SELECT 1".into(), vec![word("max_threads", "2")]))
        );
        let put = Request::of(vec![word("query", "INSERT")], b"\xff").ok();
        assert_eq!(put.map(|request| request.body), Some(vec![0xff]));
        assert!(Request::of(vec![word("decompress", "1")], b"").is_err());
    }
}
