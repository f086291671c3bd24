//! As much of PromQL as tells which series a query asks for.

/// A metric, with what its labels have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The metric's name.
    pub(crate) metric: String,
    /// What stands between the braces.
    pub(crate) matchers: Vec<Matcher>,
}

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matcher {
    /// The label's name.
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub(crate) operator: String,
    /// What it is held against.
    pub(crate) value: String,
}

/// Words of the language that are followed by a list of labels.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Its other words.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

/// All that a query asks for.
pub(crate) fn selectors(query: &str) -> Result<Vec<Selector>, String> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = word(rest);
        if first == '[' {
            rest = after(rest, ']')?;
        } else if first.is_ascii_digit() || length == 0 {
            rest = &rest[length.max(first.len_utf8())..];
        } else {
            let name = &rest[..length];
            rest = rest[length..].trim_start();
            if GROUPING.contains(&name) {
                rest = after(rest, ')')?;
            } else if rest.starts_with('{') {
                let (matchers, behind) = matchers(&rest[1..])?;
                found.push(Selector {
                    metric: name.to_owned(),
                    matchers,
                });
                rest = behind;
            } else if !rest.starts_with('(') && !WORDS.contains(&name) {
                // A function's or an aggregation's word stands before a parenthesis or before `by`.
                let aggregation = GROUPING.contains(&&rest[..word(rest)]);
                if !aggregation {
                    found.push(Selector {
                        metric: name.to_owned(),
                        matchers: Vec::new(),
                    });
                }
            }
        }
    }
    Ok(found)
}

/// The labels that a query groups by.
pub(crate) fn grouped_by(query: &str) -> Vec<String> {
    let lists = query.split("by (").skip(1);
    let lists = lists.filter_map(|rest| Some(rest.split_once(')')?.0));
    lists
        .flat_map(|list| list.split(','))
        .map(|label| label.trim().to_owned())
        .collect()
}

/// How many characters of a name there are.
fn word(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    end.unwrap_or(text.len())
}

fn after(text: &str, end: char) -> Result<&str, String> {
    let (_, rest) = text.split_once(end).ok_or_else(|| format!("no {end}"))?;
    Ok(rest)
}

/// What stands between braces, and what stands behind them.
fn matchers(mut rest: &str) -> Result<(Vec<Matcher>, &str), String> {
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((matchers, behind));
        }
        let (label, behind) = rest.split_at(word(rest));
        let (operator, behind) = behind.split_once('"').ok_or("a label without a value")?;
        let (value, behind) = behind.split_once('"').ok_or("a value without an end")?;
        if !["=", "!=", "=~", "!~"].contains(&operator) {
            return Err(format!("{operator:?} is no comparison"));
        }
        matchers.push(Matcher {
            label: label.to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
        });
        rest = behind;
    }
}

#[test]
fn every_series_of_a_query_is_found() {
    let names = |query: &str| -> Vec<String> {
        let found = selectors(query).unwrap();
        found.into_iter().map(|selector| selector.metric).collect()
    };
    assert_eq!(names("up == 0"), ["up"]);
    assert_eq!(
        names("sum by (le, a_b) (rate(a:b_c{x=\"1\", y!~\".*[5m]\"}[5m]))"),
        ["a:b_c"]
    );
    assert_eq!(
        names("sum(a) without (x) / 2.5e3 and b offset 5m"),
        ["a", "b"]
    );
    assert!(selectors("a{x=1}").is_err());
    let one = &selectors("a{x=~\"$v\"}").unwrap()[0];
    assert_eq!(
        one.matchers[0],
        Matcher {
            label: "x".into(),
            operator: "=~".into(),
            value: "$v".into()
        }
    );
    assert_eq!(grouped_by("sum by (le, x) (a)"), ["le", "x"]);
}
