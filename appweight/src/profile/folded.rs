//! Folded stacks, the text that flame graphs are drawn from: `a;b;c 12`, a line for each chain of calls
//! (Brendan Gregg, "The Flame Graph", CACM 59(6), 2016).

use std::fmt::Write;

use super::context::Union;
use super::parts::{Function, NodeId, Timer};
use super::tree::Profile;
use super::union_of;

/// Why text is not of folded stacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a folded stack such as `main;feed;query 12`: {text:?}")]
pub struct FoldedError {
    /// Counted from 1.
    pub line: usize,
    /// Its beginning.
    pub text: String,
}

/// Writes a profile as folded stacks. Chains that cost nothing or less than nothing are left out, since
/// no graph can show them.
#[must_use]
pub fn write(profile: &Profile) -> String {
    let mut text = String::new();
    for_each_stack(profile, |stack, node| {
        let own = profile.own(node);
        if own > 0 {
            let _ = writeln!(text, "{stack} {own}");
        }
    });
    text
}

/// Writes two profiles as folded stacks with two columns, before and after, per million requests of
/// each, so that the sides compare whatever their numbers of requests.
#[must_use]
pub fn write_difference(before: &Profile, after: &Profile) -> String {
    const REQUESTS: f64 = 1e6;
    let Union { tree, nodes } = union_of(before, after);
    let per_million = |profile: &Profile, node: Option<NodeId>| -> f64 {
        let own = node.map_or(0, |node| profile.own(node));
        (own as f64 * REQUESTS / (profile.requests().max(1) as f64))
            .round()
            .max(0.0)
    };
    let mut text = String::new();
    for_each_stack(&tree, |stack, node| {
        let [old, new] = nodes[node.index()];
        let (old, new) = (per_million(before, old), per_million(after, new));
        if old > 0.0 || new > 0.0 {
            let _ = writeln!(text, "{stack} {old} {new}");
        }
    });
    text
}

fn for_each_stack(profile: &Profile, mut tell: impl FnMut(&str, NodeId)) {
    // Of each node the stack's text, made from its caller's.
    let mut stacks: Vec<String> = Vec::with_capacity(profile.nodes().len());
    for node in profile.nodes() {
        let mut stack = match profile.parent(node) {
            Some(parent) if parent != profile.root() => {
                let mut stack = stacks[parent.index()].clone();
                stack.push(';');
                stack
            }
            _ => String::new(),
        };
        match profile.function_of(node) {
            Some(function) => push_name(&mut stack, &profile.function(function).name),
            None => stack.push_str("(the request)"),
        }
        tell(&stack, node);
        if node == profile.root() {
            stack.clear();
        }
        stacks.push(stack);
    }
}

/// A name may hold whatever a compiler allows; a semicolon or a line's end would make two of it.
fn push_name(stack: &mut String, name: &str) {
    stack.extend(name.chars().map(|letter| match letter {
        ';' => ':',
        letter if letter.is_control() => '?',
        letter => letter,
    }));
}

/// Reads folded stacks as one replicate.
///
/// # Errors
/// If a line has no number at its end.
pub fn read(text: &str, timer: Timer, replicate: usize) -> Result<Profile, FoldedError> {
    let mut profile = Profile::of_replicate(timer, replicate);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let bad = || FoldedError {
            line: number + 1,
            text: line.chars().take(60).collect(),
        };
        let (stack, value) = line.rsplit_once(' ').ok_or_else(bad)?;
        let value: i64 = value.parse().map_err(|_| bad())?;
        let node = stack.split(';').fold(profile.root(), |node, name| {
            profile.child(node, &Function::named(name.trim()))
        });
        profile.add(node, 0, value);
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::{canonical, parse};

    #[test]
    fn what_is_written_is_read() {
        let profile = parse(&["a;x 5", "b 7", "a;x;y 1"]);
        let text = write(&profile);
        assert_eq!(text, "a;x 5\nb 7\na;x;y 1\n");
        let read = read(&text, Timer::new("cpu", "ns"), 0).unwrap();
        assert_eq!(canonical(&read), canonical(&profile));
    }

    #[test]
    fn hostile_names_stay_within_their_line() {
        let mut profile = Profile::new(Timer::new("cpu", "ns"));
        let node = profile.child(profile.root(), &Function::named("a;b\nc 9"));
        profile.add(node, 1, 4);
        profile.add(profile.root(), 0, 2);
        assert_eq!(write(&profile), "(the request) 2\na:b?c 9 4\n");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read("a;b 1\n\nno number", Timer::default(), 0).unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (3, "no number"));
    }

    #[test]
    fn both_sides_are_told_per_request() {
        let before = parse(&["a 10", "gone 3", "memory -5"]);
        let mut after = parse(&["a 10", "new 1"]);
        after.merge(&parse(&["a 10", "new 2"]));
        assert_eq!(
            write_difference(&before, &after),
            "a 10000000 10000000\ngone 3000000 0\nnew 0 1500000\n"
        );
    }
}
